"""Holm's adjustment for asking several questions of one study (Holm 1979, A simple sequentially rejective multiple test procedure)."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values in the same order: the i-th smallest of m times m − i, never below a smaller one's, at most 1. None stays None and does not count."""
    asked = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(asked):
        highest = max(highest, min(1.0, (len(asked) - rank) * p))
        adjusted[index] = highest
    return adjusted
