"""How many seeds an unclear difference would take."""

from __future__ import annotations

import math

import numpy as np

from ablate.evidence.paired import LEVEL, Effect

POWER = 0.8
"""Chance of a verdict with the seeds that are named, if the difference and the scatter are what they seem."""

MOST = 100
"""More seeds than this are not worth a number."""


def more_seeds(effect: Effect, comparisons: int, smallest: float | None = None) -> int | None:
    """About how many more seeds would settle it; None for more than `MOST`.

    Settled is a difference that is significant at `LEVEL` over that many comparisons (the first step of Holm's adjustment), or surely within ±``smallest``.
    """
    from scipy.special import stdtrit

    if effect.spread is None:
        return None
    own = effect.n - 1
    borrowed = max(effect.spread.typical_degrees - own, 0.0)
    more = np.arange(1, MOST + 1)
    degrees, error = own + more + borrowed, effect.spread.sd / np.sqrt(effect.n + more)
    level = LEVEL / max(comparisons, 1)
    settled = abs(effect.delta) >= (stdtrit(degrees, 1 - level / 2) + stdtrit(degrees, POWER)) * error
    if smallest is not None and math.isfinite(smallest):
        settled |= abs(effect.delta) + stdtrit(degrees, 1 - LEVEL / 2) * error <= smallest
    return int(more[settled][0]) if settled.any() else None
