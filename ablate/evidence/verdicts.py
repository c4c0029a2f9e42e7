"""From effects to words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ablate.evidence.holm import holm
from ablate.evidence.paired import LEVEL, Effect

Verdict = Literal["helps", "hurts", "unclear", "no difference", "unstable"]
"""``no difference``: every seed gave exactly its parent's result. ``unstable``: a seed diverged."""


def judge(
    effects: Sequence[Effect | None], better: Literal["lower", "higher"]
) -> list[tuple[float | None, Verdict | None]]:
    """Adjusted p-value and verdict for each effect, in order; (None, None) where there is no p-value to judge by."""
    adjusted = holm([effect.p if effect is not None else None for effect in effects])
    return [
        (p, verdict(effect, p, better) if effect is not None and p is not None else None)
        for effect, p in zip(effects, adjusted, strict=True)
    ]


def verdict(effect: Effect, p_adjusted: float, better: Literal["lower", "higher"]) -> Verdict:
    """What an effect with that adjusted p-value means, where ``better`` says which way is good."""
    if effect.delta == 0 == effect.low == effect.high:
        return "no difference"
    if p_adjusted >= LEVEL:
        return "unclear"
    return "helps" if (effect.delta < 0) == (better == "lower") else "hurts"
