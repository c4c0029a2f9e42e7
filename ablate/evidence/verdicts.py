"""From effects to verdicts: p-values corrected for several comparisons, and the number of seeds that an unclear one
needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.evidence.paired import LEVEL, Effect

Verdict = Literal["helps", "hurts", "unclear", "no difference", "unstable"]
"""``no difference``: the interval is within ±``compare.smallest_effect``, or all seeds give the parent's result.
``unstable``: a seed diverged.
"""

Better = Literal["lower", "higher"]

POWER = 0.8
"""Probability of a verdict with the estimated number of seeds, given the observed difference and variance."""

MOST = 100
"""The largest number of additional seeds that is reported."""


@dataclass(frozen=True)
class Judgement:
    """A p-value after Holm's correction, the verdict, and the estimated number of additional seeds if it is unclear
    (None: more than `MOST`).
    """

    p_adjusted: float | None = None
    verdict: Verdict | None = None
    more_seeds: int | None = None


def judge(
    effects: Sequence[Effect | None], better: Better, smallest: float | None = None, planned: int = 0
) -> list[Judgement]:
    """A judgement for each effect, in order; an empty one for an effect without a p-value.

    ``planned`` comparisons are corrected together, at least those with a p-value.
    """
    adjusted = holm([effect.p if effect is not None else None for effect in effects], planned)
    planned = max(planned, sum(p is not None for p in adjusted))
    judgements = []
    for effect, p in zip(effects, adjusted, strict=True):
        if effect is None or p is None:
            judgements.append(Judgement())
            continue
        word = verdict(effect, p, better, smallest)
        judgements.append(Judgement(p, word, more_seeds(effect, planned, smallest) if word == "unclear" else None))
    return judgements


def holm(p_values: Sequence[float | None], planned: int = 0) -> list[float | None]:
    """Adjusted p-values in the same order (Holm 1979, A simple sequentially rejective multiple test procedure).

    The i-th smallest of m is multiplied by m − i, is never below a smaller one's, and at most 1. None stays None and
    does not count. With more ``planned`` tests, m is their number, and those without a p-value count as 1.
    """
    asked = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    planned = max(planned, len(asked))
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(asked):
        highest = max(highest, min(1.0, (planned - rank) * p))
        adjusted[index] = highest
    return adjusted


def verdict(effect: Effect, p_adjusted: float, better: Better, smallest: float | None = None) -> Verdict:
    """The verdict of an effect with that adjusted p-value. Effects below ``smallest`` do not matter."""
    if effect.delta == 0 == effect.low == effect.high:
        return "no difference"
    # Before significance: an effect that is too small to matter is no help, even if its sign is certain.
    if smallest is not None and effect.low is not None and -smallest < effect.low and (effect.high or 0.0) < smallest:
        return "no difference"
    if p_adjusted >= LEVEL:
        return "unclear"
    return "helps" if (effect.delta < 0) == (better == "lower") else "hurts"


def more_seeds(effect: Effect, comparisons: int, smallest: float | None = None) -> int | None:
    """The estimated number of additional seeds for a verdict; None for more than `MOST`.

    A verdict is a difference that is significant at `LEVEL` over that many comparisons (the first step of Holm's
    correction), or an interval within ±``smallest``.
    """
    from scipy.special import stdtrit

    if effect.spread is None:
        return None
    own = effect.n - 1
    borrowed = max(effect.spread.typical_degrees - own, 0.0)
    more = np.arange(1, MOST + 1)
    degrees, error = own + more + borrowed, effect.spread.sd / np.sqrt(effect.n + more)
    level = LEVEL / max(comparisons, 1)
    delta = abs(effect.delta) / effect.unit
    settled = delta >= (stdtrit(degrees, 1 - level / 2) + stdtrit(degrees, POWER)) * error
    if smallest is not None and math.isfinite(smallest):
        settled |= delta + stdtrit(degrees, 1 - LEVEL / 2) * error <= smallest / effect.unit
    return int(more[settled][0]) if settled.any() else None
