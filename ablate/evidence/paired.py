"""Paired differences: one number per seed, the same seeds on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
"""Intervals cover 1 − LEVEL, and verdicts are found at this level after adjustment."""

Floats = NDArray[np.float64]

Differences = Floats
"""One difference per seed, (n,)."""

Pair = tuple[str, str]
"""Names of a row and of the row that it is compared with."""

FLAT = 1e-9
"""Differences that scatter less than this, relative to their size, differ by rounding alone: they say nothing about chance."""


@dataclass(frozen=True)
class Spread:
    """What the differences of one comparison may scatter by: variances (C,), each with the degrees of freedom and the weight that it deserves, (C,).

    One variance of weight 1 gives Student's t test; several give the weighted mean of its p-values.
    """

    variances: Floats
    degrees: Floats
    weights: Floats

    @classmethod
    def single(cls, sd: float, degrees: float) -> Spread:
        """One standard deviation."""
        return cls(np.array([sd**2]), np.array([float(degrees)]), np.ones(1))

    @property
    def sd(self) -> float:
        """The standard deviation in the middle of what is possible."""
        if not self.variances.all():
            return 0.0
        return float(np.exp(np.sum(self.weights * np.log(self.variances)) / 2))

    @property
    def typical_degrees(self) -> float:
        """The degrees of freedom of the t distribution with the same tails, roughly."""
        return float(1 / np.sum(self.weights / self.degrees))


Estimator = Callable[[Sequence[Differences], Sequence[Pair]], list[Spread | None]]
"""From all comparisons of a study at once to a spread for each (None: no estimate), so that one comparison may borrow from the others."""


@dataclass(frozen=True)
class Effect:
    """A mean paired difference: its interval and two-sided p-value (None where n does not allow them), its number of pairs, and what they scatter by."""

    delta: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    spread: Spread | None = None


def differences(values: ArrayLike, reference: ArrayLike) -> Differences:
    """``values − reference``, both (n,), aligned by seed. Raises ValueError for other shapes."""
    left, right = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"paired values (={left.shape} and {right.shape}) must be two rows of the same length.")
    return np.subtract(left, right, dtype=np.float64)


def scatter(sample: Differences) -> float:
    """The standard deviation (ddof 1) of n ≥ 2 differences; exactly 0 where only rounding tells them apart."""
    sd = float(np.std(sample, ddof=1))
    return sd if sd > FLAT * float(np.max(np.abs(sample))) else 0.0


def own_spreads(samples: Sequence[Differences], pairs: Sequence[Pair] = ()) -> list[Spread | None]:
    """Each comparison's own standard deviation; None below two pairs, and where all pairs differ by the same amount that is not 0."""
    return [own_spread(sample) for sample in samples]


def own_spread(sample: Differences) -> Spread | None:
    """A comparison's own standard deviation with n − 1 degrees of freedom, None where it has none."""
    if len(sample) < 2 or (scatter(sample) == 0 and sample.any()):
        return None
    return Spread.single(scatter(sample), len(sample) - 1)


def effect(sample: Differences, spread: Spread | None) -> Effect:
    """The effect of differences, (n,) with n ≥ 1, by Student's t over the spread given.

    One pair, or no spread: the difference alone. Two pairs: an interval. Three and more: also a p-value.
    """
    n, delta = len(sample), float(np.mean(sample))
    if n < 2 or spread is None:
        return Effect(delta, None, None, None, n)
    errors = np.sqrt(spread.variances / n)
    half = half_width(errors, spread.degrees, spread.weights)
    p = float(two_sided(abs(delta), errors, spread.degrees, spread.weights)) if n > 2 else None
    return Effect(delta, delta - half, delta + half, p, n, spread)


def two_sided(size: ArrayLike, errors: Floats, degrees: ArrayLike, weights: Floats) -> Floats:
    """p-values of estimates of that size: Student's t over each standard error (…, C), averaged with the weights (…, C) to (…,).

    Without any error a difference is certain (p = 0), and no difference is none (p = 1).
    """
    from scipy.special import stdtr

    size = np.asarray(size, dtype=np.float64)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 0, size / errors, np.where(size > 0, np.inf, 0.0))
    p: Floats = np.sum(2 * stdtr(degrees, -t) * weights, axis=-1)
    return p


def half_width(errors: Floats, degrees: Floats, weights: Floats) -> float:
    """Half of the interval that covers 1 − `LEVEL`: where the averaged p-value is `LEVEL`. ``errors`` (C,) are standard errors."""
    from scipy.special import gammaln, stdtrit

    halves = stdtrit(degrees, 1 - LEVEL / 2) * errors
    if len(errors) == 1 or not errors.all():
        return float(halves.max())
    # p falls with the width and is convex, so Newton's steps from the narrowest half never pass the solution.
    peaks = np.exp(gammaln((degrees + 1) / 2) - gammaln(degrees / 2)) / (np.sqrt(np.pi * degrees) * errors)
    half = float(halves.min())
    for _ in range(100):
        density = peaks * (1 + (half / errors) ** 2 / degrees) ** (-(degrees + 1) / 2)
        step = (float(two_sided(half, errors, degrees, weights)) - LEVEL) / (2 * float(np.sum(weights * density)))
        if step <= 1e-13 * half:
            break
        half += step
    return half
