"""Differences by seed and sample: the mean difference on new samples and new seeds, and its interval.

Seeds and samples are crossed random factors: D_ij = μ + a_i + b_j + e_ij for seed i and sample j (Scheffé 1959, The
Analysis of Variance, chapter 4: two-way layout with random effects).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.evidence.paired import LEVEL, Floats

LITTLE = 0.1
"""Twice the seeds make the standard error smaller by less than this fraction: the seeds do not limit the answer."""

MUCH = 1 / 3
"""By which fraction the larger validation set that is named makes it smaller."""

ROUND = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
"""Leading digits of the sizes of validation sets that are named."""


@dataclass(frozen=True)
class VarianceParts:
    """The terms of the variance of the mean difference: ``seed`` is s²_seed/n, ``sample`` s²_example/N, ``residual``
    s²_resid/(nN).

    Their expectations are σ²_a/n + σ²_e/(nN), σ²_b/N + σ²_e/(nN) and σ²_e/(nN).
    """

    seed: float
    sample: float
    residual: float

    @property
    def total(self) -> float:
        """seed + sample − residual, at least as large as either: an estimate can be too small, or negative."""
        return max(self.seed + self.sample - self.residual, self.seed, self.sample)

    @property
    def of_seeds(self) -> float:
        """σ²_a/n: what only more seeds reduce."""
        return max(self.seed - self.residual, 0.0)

    @property
    def of_samples(self) -> float:
        """σ²_b/N: what only more samples reduce."""
        return max(self.sample - self.residual, 0.0)

    def error(self, *, seeds: float = 1.0, samples: float = 1.0) -> float:
        """The standard error if the numbers of seeds and of samples are multiplied by these factors."""
        both = self.residual / (seeds * samples)
        return math.sqrt(self.of_seeds / seeds + self.of_samples / samples + both)


@dataclass(frozen=True)
class NewSamples:
    """The mean difference from another variant, and its 95% interval for new samples and new seeds (None with one seed,
    sample or group).

    ``seeds`` and ``samples`` are the numbers that it is over; ``groups`` that of the samples' groups, if there are any.
    ``chosen``: the epoch was chosen on these samples, so the difference may be biased. The training set is held fixed.
    """

    delta: float
    low: float | None
    high: float | None
    parts: VarianceParts | None
    seeds: int
    samples: int
    groups: int | None = None
    chosen: bool = False

    @property
    def sample_share(self) -> float | None:
        """The fraction of the variance that only more samples would reduce."""
        if self.parts is None or not self.parts.error():
            return None
        return self.parts.of_samples / self.parts.error() ** 2

    @property
    def scatter_share(self) -> float | None:
        """The fraction of the variance over seeds that is due to these samples: σ²_e/N of σ²_a + σ²_e/N."""
        if self.parts is None or not self.parts.seed:
            return None
        return min(self.parts.residual / self.parts.seed, 1.0)

    @property
    def enough_samples(self) -> int | None:
        """If the validation set, not the seeds, limits the answer: the number of samples (or groups) that would make
        the standard error smaller by a third.

        It does with three seeds or more, if the interval contains 0, and twice the seeds would make the standard error
        smaller by less than a tenth: then more than 60% of the variance are due to the samples alone.
        """
        if self.parts is None or self.seeds < 3 or self.low is None or self.high is None or not self.parts.error():
            return None
        error = self.parts.error()
        if not self.low <= 0 <= self.high or self.parts.error(seeds=2) <= (1 - LITTLE) * error:
            return None
        rest = self.parts.of_samples + self.parts.residual
        times = rest / (((1 - MUCH) * error) ** 2 - self.parts.of_seeds)
        return rounded_up(times * (self.groups or self.samples))


def rounded_up(count: float) -> int:
    """The next number with a leading digit of `ROUND`: 1,000 for 810."""
    power = 10.0 ** math.floor(math.log10(max(count, 1.0)))
    return math.ceil(next((digit for digit in ROUND if digit * power >= count * (1 - 1e-9)), 10.0) * power)


def on_new_samples(
    differences: Floats,
    weights: Floats | None = None,
    groups: NDArray[np.int64] | None = None,
    *,
    chosen: bool = False,
) -> NewSamples:
    """The mean of differences (n, N) by seed and sample, with its interval: Student's t with min(n, number of groups or
    samples) − 1 degrees of freedom.

    ``weights`` (N,): the samples' weights in the mean, by default equal. ``groups`` (N,): samples of a group are not
    independent.
    """
    n, count = differences.shape
    units = len(np.unique(groups)) if groups is not None else count
    delta = float(np.mean(differences @ scaled(weights, count)) / count)
    known = {"seeds": n, "samples": count, "groups": units if groups is not None else None, "chosen": chosen}
    if min(n, units) < 2:
        return NewSamples(delta, None, None, None, **known)
    from scipy.special import stdtrit

    parts = variance_parts(differences, weights, groups)
    half = float(stdtrit(min(n, units) - 1, 1 - LEVEL / 2)) * math.sqrt(parts.total)
    return NewSamples(delta, delta - half, delta + half, parts, **known)


def variance_parts(
    differences: Floats, weights: Floats | None = None, groups: NDArray[np.int64] | None = None
) -> VarianceParts:
    """The variances of the mean of differences (n, N), n and N ≥ 2, by seed, sample and what is left.

    Without weights and groups, s²_seed = var_i(D̄_i·), s²_example = var_j(D̄_·j) and s²_resid = Σ (D_ij − D̄_i· − D̄_·j +
    D̄)²/((n − 1)(N − 1)). With groups, centred values are summed over each of G groups, and the sum of their squares is
    multiplied by G/(G − 1). A weighted mean is a ratio: its centred values are multiplied by their weights, whose mean
    is 1 (Cochran 1977, Sampling Techniques, chapter 6).
    """
    n, count = differences.shape
    factors = scaled(weights, count)
    by_seed, by_sample = differences @ factors / count, differences.mean(axis=0)
    mean = float(by_seed.mean())
    centred = factors * (by_sample - mean)
    left = factors * (differences - by_seed[:, None] - by_sample + mean)
    units = count
    if groups is not None:
        names, place = np.unique(groups, return_inverse=True)
        units = len(names)
        centred = np.bincount(place, centred, units)
        left = np.stack([np.bincount(place, row, units) for row in left])
    correction = units / (units - 1)
    return VarianceParts(
        float(np.var(by_seed, ddof=1)) / n,
        correction * float(np.sum(centred**2)) / count**2,
        correction * float(np.sum(left**2)) / ((n - 1) * n * count**2),
    )


def scaled(weights: Floats | None, count: int) -> Floats:
    """Weights (N,) with a mean of 1."""
    return np.ones(count) if weights is None else weights * (count / np.sum(weights))


class NoNewSamples:
    """The source of `NewSamples` of a table without stored samples."""

    def __call__(self, variant: str) -> NewSamples | None:
        """A variant's difference from its parent on new samples; None if it is not known."""
        return None

    def is_quick(self) -> bool:
        """Whether the values of all samples are few enough to read them for every table."""
        return False
