"""From effects to words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.evidence.holm import holm
from ablate.evidence.more_seeds import more_seeds
from ablate.evidence.paired import LEVEL, Effect

Verdict = Literal["helps", "hurts", "unclear", "no difference", "unstable"]
"""``no difference``: the interval lies within ±``compare.smallest_effect``, or every seed gave exactly its parent's result. ``unstable``: a seed diverged."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Judgement:
    """A p-value after Holm's adjustment, what it means, and about how many more seeds would settle what is unclear (None: more than is worth a number)."""

    p_adjusted: float | None = None
    verdict: Verdict | None = None
    more_seeds: int | None = None


def judge(effects: Sequence[Effect | None], better: Better, smallest: float | None = None) -> list[Judgement]:
    """A judgement for each effect, in order; an empty one where there is no p-value to judge by."""
    adjusted = holm([effect.p if effect is not None else None for effect in effects])
    asked = sum(p is not None for p in adjusted)
    judgements = []
    for effect, p in zip(effects, adjusted, strict=True):
        if effect is None or p is None:
            judgements.append(Judgement())
            continue
        word = verdict(effect, p, better, smallest)
        judgements.append(Judgement(p, word, more_seeds(effect, asked, smallest) if word == "unclear" else None))
    return judgements


def verdict(effect: Effect, p_adjusted: float, better: Better, smallest: float | None = None) -> Verdict:
    """What an effect with that adjusted p-value means, where ``better`` says which way is good and less than ``smallest`` does not matter."""
    if effect.delta == 0 == effect.low == effect.high:
        return "no difference"
    # Before significance: what is surely too small to matter is no help, however sure its sign.
    if smallest is not None and effect.low is not None and -smallest < effect.low and (effect.high or 0.0) < smallest:
        return "no difference"
    if p_adjusted >= LEVEL:
        return "unclear"
    return "helps" if (effect.delta < 0) == (better == "lower") else "hurts"
