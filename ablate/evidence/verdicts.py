"""From effects to verdicts: p-values corrected for several comparisons, and what more seeds would show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.evidence.paired import LEVEL, Effect

Verdict = Literal["helps", "hurts", "unclear", "no difference", "unstable"]
"""``no difference``: the interval is within ±``compare.smallest_effect``, or all seeds give the parent's result.
``unstable``: a seed diverged.
"""

Better = Literal["lower", "higher"]

POWER = 0.8
"""Probability of a verdict for an effect of the size that more seeds would show, given the estimated variance."""


@dataclass(frozen=True)
class Judgement:
    """A p-value after Holm's correction, and the verdict. If that is unclear, ``detectable`` is the smallest effect
    that ``detectable_seeds`` seeds would show.
    """

    p_adjusted: float | None = None
    verdict: Verdict | None = None
    detectable: float | None = None
    detectable_seeds: int | None = None


def judge(
    effects: Sequence[Effect | None],
    better: Better,
    smallest: float | None = None,
    planned: int = 0,
    level: float = LEVEL,
) -> list[Judgement]:
    """A judgement for each effect, in order; an empty one for an effect without a p-value.

    ``planned`` comparisons are corrected together, at least those with a p-value. An adjusted p-value below ``level``
    is significant.
    """
    adjusted = holm([effect.p if effect is not None else None for effect in effects], planned)
    planned = max(planned, sum(p is not None for p in adjusted))
    judgements = []
    for effect, p in zip(effects, adjusted, strict=True):
        if effect is None or p is None:
            judgements.append(Judgement())
            continue
        judgements.append(judged(effect, p, verdict(effect, p, better, smallest, level), planned, level))
    return judgements


def judged(effect: Effect, p_adjusted: float, word: Verdict, planned: int, level: float = LEVEL) -> Judgement:
    """A judgement; if it is unclear, with what twice as many seeds would show."""
    if word != "unclear":
        return Judgement(p_adjusted, word)
    seeds = 2 * effect.n
    return Judgement(p_adjusted, word, detectable(effect, seeds, level / max(planned, 1)), seeds)


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


def verdict(
    effect: Effect, p_adjusted: float, better: Better, smallest: float | None = None, level: float = LEVEL
) -> Verdict:
    """The verdict of an effect with that adjusted p-value. Effects below ``smallest`` do not matter."""
    if effect.delta == 0 == effect.low == effect.high:
        return "no difference"
    # Before significance: an effect that is too small to matter is no help, even if its sign is certain.
    if smallest is not None and effect.low is not None and -smallest < effect.low and (effect.high or 0.0) < smallest:
        return "no difference"
    if p_adjusted >= level:
        return "unclear"
    return "helps" if (effect.delta < 0) == (better == "lower") else "hurts"


def detectable(effect: Effect, seeds: int, level: float) -> float | None:
    """The size of a difference that is significant at ``level`` with the probability `POWER` in a new study with that
    many seeds, if its differences vary as these do. None if their variance is unknown.
    """
    from scipy.special import stdtrit

    if effect.spread is None or effect.spread.sd == 0:
        return None
    borrowed = max(effect.spread.typical_degrees - (effect.n - 1), 0.0)
    degrees = seeds - 1 + borrowed
    sizes = stdtrit(degrees, 1 - level / 2) + stdtrit(degrees, POWER)
    found = float(sizes * effect.spread.sd / math.sqrt(seeds)) * effect.unit
    return found if math.isfinite(found) else None
