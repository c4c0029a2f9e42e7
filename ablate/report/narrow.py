"""The same columns in fewer characters, for narrow terminals and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ablate.evidence.table import Row, Table
from ablate.report.column import FOUND, UNLIKE, Column, delta_places
from ablate.report.numbers import fixed, places
from ablate.report.wording import verdict_text

BOUNDS = {
    "delta_parent": ("ci_low", "ci_high"),
    "delta_baseline": ("baseline_ci_low", "baseline_ci_high"),
    "interaction": ("interaction_low", "interaction_high"),
}
"""Differences, and the ends of their symmetric intervals."""


def narrow(table: Table, columns: Sequence[Column], *, coarse: bool = False) -> list[Column]:
    """The columns with half-widths instead of intervals; ``coarse``: also with fewer digits and words."""
    return [_narrow(table, column, coarse) for column in columns]


def _narrow(table: Table, column: Column, coarse: bool) -> Column:
    if column.key in BOUNDS and any(half_width(row, column.key) is not None for row in table.rows):
        title = f"{column.title} ± 95%"
        return replace(column, title=title, texts=lambda table: differences(table, column, coarse))
    if column.key == "verdict":
        return replace(column, texts=lambda table: [short_verdict(row, coarse) for row in table.rows])
    return column


def differences(table: Table, column: Column, coarse: bool) -> list[str]:
    """``-0.00041 ± 0.00021`` for each row, with its mark."""
    values = [getattr(row, column.key) for row in table.rows]
    halves = [half_width(row, column.key) for row in table.rows]
    low, high = BOUNDS[column.key]
    decimals = delta_places(
        table, lambda row: getattr(row, column.key), lambda row: getattr(row, low), lambda row: getattr(row, high)
    )
    if coarse:
        decimals = min(decimals, max(places(halves, 1), places(values, 2)))
    texts = []
    for value, half, full in zip(values, halves, column.texts(table), strict=True):
        mark = full[:1] if full[:1] in (UNLIKE, FOUND) else ""
        end = "" if half is None else f" ±{fixed(half, decimals, '-')}"
        texts.append("" if value is None else f"{mark}{fixed(value, decimals, '+')}{end}")
    return texts


def half_width(row: Row, key: str) -> float | None:
    """Half of the interval of a difference."""
    low, high = (getattr(row, name) for name in BOUNDS[key])
    return None if low is None or high is None else (high - low) / 2


def short_verdict(row: Row, coarse: bool) -> str:
    """``unclear (≈12 more)``, or ``unclear ≈12``."""
    text = verdict_text(row).replace(" more seeds)", " more)").replace(" more seed)", " more)")
    return text.replace("(", "").replace(" more)", "") if coarse else text
