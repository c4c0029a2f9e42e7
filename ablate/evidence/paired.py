"""Paired differences: one number per seed, the same seeds on both sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
"""Intervals cover 1 − LEVEL, and verdicts are found at this level after adjustment."""

Differences = NDArray[np.float64]
"""One difference per seed, (n,)."""


@dataclass(frozen=True)
class Spread:
    """What the differences of one comparison scatter by: a standard deviation and the degrees of freedom it was estimated with."""

    sd: float
    degrees: float


Estimator = Callable[[Sequence[Differences]], list[Spread | None]]
"""From all comparisons of a study at once to a spread for each (None: no estimate), so that one comparison may borrow from the others."""


@dataclass(frozen=True)
class Effect:
    """A mean paired difference: its interval and two-sided p-value (None where n does not allow them) and its number of pairs."""

    delta: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def differences(values: ArrayLike, reference: ArrayLike) -> Differences:
    """``values − reference``, both (n,), aligned by seed. Raises ValueError for other shapes."""
    left, right = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"paired values (={left.shape} and {right.shape}) must be two rows of the same length.")
    return np.subtract(left, right, dtype=np.float64)


def own_spreads(samples: Sequence[Differences]) -> list[Spread | None]:
    """Each comparison's own standard deviation (ddof 1); None below two pairs."""
    return [Spread(float(np.std(d, ddof=1)), len(d) - 1.0) if len(d) > 1 else None for d in samples]


def effect(sample: Differences, spread: Spread | None) -> Effect:
    """The effect of differences, (n,) with n ≥ 1, by Student's t with the spread given.

    One pair, or no spread: the difference alone. Two pairs: an interval. Three and more: also a p-value.
    """
    n, delta = len(sample), float(np.mean(sample))
    if n < 2 or spread is None:
        return Effect(delta, None, None, None, n)
    half, p = student(delta, spread.sd / math.sqrt(n), spread.degrees)
    return Effect(delta, delta - half, delta + half, p if n > 2 else None, n)


def student(delta: float, error: float, degrees: float) -> tuple[float, float]:
    """Half the width of the interval, and the two-sided p-value, of an estimate with that standard error.

    Without any error, a difference is certain (p = 0), and no difference is none (p = 1).
    """
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(degrees, 1 - LEVEL / 2)) * error
    if error == 0:
        return half, 1.0 if delta == 0 else 0.0
    return half, float(2 * stdtr(degrees, -abs(delta) / error))
