"""Paired differences: one number per seed, for the seeds that both variants have."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
"""The significance level of verdicts, after correction. Intervals cover 1 − LEVEL unless another level is given."""

Floats = NDArray[np.float64]

Differences = Floats
"""One difference per seed, (n,)."""

Pair = tuple[str, str]
"""Names of a variant and of the variant that it is compared with."""

FLAT = 1e-9
"""A standard deviation of differences below this, relative to their size, is due to rounding."""


OWN = 0.075
"""The smallest weight of the own variance's p-value beside that of a pooled variance (`combined`), as few data cannot
show which variances are similar. The smallest one tried that kept false positives clearly below 5% plus two standard
errors in every setting. It costs a sixth of the power at three seeds, a fifteenth at five.
"""

RISE = 9.0
"""Above `OWN`, the weight is this times the p-value itself: larger p-values rely more on the own variance. So p-values
up to 0.05/6, the first level of Holm's correction of six comparisons, have the weight `OWN` and its power, while 95%
intervals, which no correction makes wider, have a weight of 0.45, and cover the truth for the noisiest variants, too.
"""

MOST = RISE * LEVEL
"""The largest weight of the own variance's p-value: that at the 5% level."""


def own_weight(p: float) -> float:
    """The weight of the own variance's p-value where the p-value of both is ``p``, and in an interval at this level."""
    return min(max(OWN, RISE * p), MOST)


def combined(shared: float, own: float) -> float:
    """The p-value p that is the mean of a pooled variance's p-value, ``shared``, and of the own variance's, with the
    weight `own_weight` (p) for the latter. There is one solution, and it increases with both.
    """
    more = own - shared
    low, high = sorted((shared + OWN * more, shared + MOST * more))
    return min(max(shared / (1 - RISE * more), low), high) if RISE * more < 1 else high


@dataclass(frozen=True)
class Spread:
    """Candidate variances (C,) of the differences of one comparison, with their degrees of freedom and weights, (C,).

    One variance of weight 1 gives Student's t-test; several give the weighted mean of its p-values. If they were
    estimated together with other comparisons, ``own`` is the estimate from this one alone, which p-values and intervals
    use, too (`combined`).
    """

    variances: Floats
    degrees: Floats
    weights: Floats
    own: Spread | None = None

    @classmethod
    def single(cls, sd: float, degrees: float) -> Spread:
        """One standard deviation."""
        return cls(np.array([sd**2]), np.array([float(degrees)]), np.ones(1))

    @property
    def sd(self) -> float:
        """The standard deviation: the weighted geometric mean of the candidates."""
        every = self.at(0.0)
        if not every.variances.all():
            return 0.0
        return float(np.exp(np.sum(every.weights * np.log(every.variances)) / 2))

    @property
    def pooled(self) -> bool:
        """Whether there are several candidates: the variance was estimated together with others."""
        return len(self.variances) > 1

    @property
    def typical_degrees(self) -> float:
        """The degrees of freedom of a t distribution with about the same tails."""
        every = self.at(0.0)
        return float(1 / np.sum(every.weights / every.degrees))

    def at(self, p: float) -> Spread:
        """The candidates, including the own estimate with its weight at that p-value."""
        if self.own is None:
            return self
        weight = own_weight(p)
        return Spread(
            np.append(self.own.variances, self.variances),
            np.append(self.own.degrees, self.degrees),
            np.append(weight * self.own.weights, (1 - weight) * self.weights),
        )

    def p_value(self, size: float, n: int) -> float:
        """The two-sided p-value of a mean of n differences that is ``size`` away from 0."""
        p = float(two_sided(size, np.sqrt(self.variances / n), self.degrees, self.weights))
        return p if self.own is None else combined(p, self.own.p_value(size, n))

    def half_width(self, n: int, level: float) -> float:
        """Half of the interval of a mean of n differences that covers 1 − ``level``: where the p-value is ``level``."""
        every = self.at(level)
        return half_width(np.sqrt(every.variances / n), every.degrees, every.weights, level)


Estimator = Callable[[Sequence[Differences], Sequence[Pair], Sequence[Collection[int]]], list[Spread | None]]
"""Gives a spread for each comparison of a study (None: no estimate) from the differences, pairs and seeds of all of
them, so that variances can be pooled.
"""


@dataclass(frozen=True)
class Effect:
    """A mean paired difference: its interval and two-sided p-value (None where n does not allow them), its number of
    pairs, and their spread, which is in units of ``unit``.
    """

    delta: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    spread: Spread | None = None
    unit: float = 1.0

    def times(self, unit: float) -> Effect:
        """An effect that was computed in that unit; without an interval if its ends are too large for a number."""
        ends = [None if end is None else end * unit for end in (self.low, self.high)]
        low, high = ends if all(end is not None and math.isfinite(end) for end in ends) else (None, None)
        return replace(self, delta=self.delta * unit, low=low, high=high, unit=unit)


ORDINARY = (1e-100, 1e100)
"""The sizes of numbers whose squares can be computed without a unit."""


def unit_of(values: ArrayLike) -> float:
    """A power of 2 in which the squares of these numbers neither overflow nor vanish; 1 for ordinary sizes."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0 or ORDINARY[0] <= largest <= ORDINARY[1]:
        return 1.0
    return math.ldexp(1.0, math.frexp(largest)[1] - 1)


def average(values: Sequence[float]) -> float:
    """The mean of numbers of any size."""
    unit = unit_of(values)
    return float(np.mean(np.divide(values, unit))) * unit


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation (ddof 1) of n ≥ 2 numbers of any size; None if it is too large for a number."""
    unit = unit_of(values)
    sd = float(np.std(np.divide(values, unit), ddof=1)) * unit
    return sd if math.isfinite(sd) else None


def differences(values: ArrayLike, reference: ArrayLike) -> Differences:
    """``values − reference``, both (n,), aligned by seed. Raises ValueError for other shapes."""
    left, right = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"paired values (={left.shape} and {right.shape}) must be two rows of the same length.")
    with np.errstate(over="ignore"):  # the caller checks
        return np.subtract(left, right, dtype=np.float64)


def scatter(sample: Differences) -> float:
    """The standard deviation (ddof 1) of n ≥ 2 differences; exactly 0 if they differ by rounding alone."""
    sd = float(np.std(sample, ddof=1))
    return sd if sd > FLAT * float(np.max(np.abs(sample))) else 0.0


def own_spreads(
    samples: Sequence[Differences], pairs: Sequence[Pair] = (), seeds: Sequence[Collection[int]] = ()
) -> list[Spread | None]:
    """Each comparison's own standard deviation; None for fewer than two pairs, and if all pairs differ by the same
    amount that is not 0.
    """
    return [own_spread(sample) for sample in samples]


def own_spread(sample: Differences) -> Spread | None:
    """A comparison's own standard deviation with n − 1 degrees of freedom, or None."""
    if len(sample) < 2:
        return None
    sd = scatter(sample)
    return None if sd == 0 and sample.any() else Spread.single(sd, len(sample) - 1)


def fold_spread(sample: Differences, folds: int) -> Spread | None:
    """The spread of the differences of n of k folds, corrected after Nadeau and Bengio (2003), Inference for the
    generalization error, section 3.

    Folds share training samples, so their differences vary less than those of independent data. The variance of their
    mean is (1/n + n₂/n₁) s², where n₂/n₁, the ratio of validation to training samples, is 1/(k − 1); n − 1 degrees of
    freedom. None if the variance cannot be estimated.
    """
    own = own_spread(sample)
    # the variance of the mean divides these variances by n
    return own and replace(own, variances=own.variances * (1 + len(sample) / (folds - 1)))


def effect(sample: Differences, spread: Spread | None, level: float = LEVEL) -> Effect:
    """The effect of differences, (n,) with n ≥ 1, by Student's t with the given spread; its interval covers 1 −
    ``level``.

    One pair, or no spread: the difference alone. Two pairs: an interval. Three and more: also a p-value.
    """
    n, delta = len(sample), float(np.mean(sample))
    if n < 2 or spread is None:
        return Effect(delta, None, None, None, n)
    half = spread.half_width(n, level)
    p = spread.p_value(abs(delta), n) if n > 2 else None
    return Effect(delta, delta - half, delta + half, p, n, spread)


def two_sided(size: ArrayLike, errors: Floats, degrees: ArrayLike, weights: Floats) -> Floats:
    """p-values of estimates of that size: Student's t over each standard error (…, C), averaged with the weights (…, C)
    to (…,).

    Without any error, p is 0 for a difference and 1 for none.
    """
    from scipy.special import stdtr

    size = np.asarray(size, dtype=np.float64)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 0, size / errors, np.where(size > 0, np.inf, 0.0))
    p: Floats = np.sum(2 * stdtr(degrees, -t) * weights, axis=-1)
    return p


def half_width(errors: Floats, degrees: Floats, weights: Floats, level: float = LEVEL) -> float:
    """Half of the interval that covers 1 − ``level``: where the averaged p-value is ``level``. ``errors`` (C,) are
    standard errors.
    """
    from scipy.special import gammaln, stdtrit

    halves = stdtrit(degrees, 1 - level / 2) * errors
    if len(errors) == 1 or not errors.all():
        return float(halves.max())
    # p falls with the width and is convex, so Newton's steps from the narrowest half never pass the solution.
    peaks = np.exp(gammaln((degrees + 1) / 2) - gammaln(degrees / 2)) / (np.sqrt(np.pi * degrees) * errors)
    half = float(halves.min())
    for _ in range(100):
        density = peaks * (1 + (half / errors) ** 2 / degrees) ** (-(degrees + 1) / 2)
        step = (float(two_sided(half, errors, degrees, weights)) - level) / (2 * float(np.sum(weights * density)))
        if step <= 1e-13 * half:
            break
        half += step
    return half
