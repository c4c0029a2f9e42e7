"""The mean difference by seed and sample against an analysis of variance written out, and its interval in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.crossed import NewSamples, VarianceParts, on_new_samples, rounded_up, variance_parts


def table(n=6, count=40, seed=0):
    draw = np.random.default_rng(seed)
    a, b = draw.normal(0, 1, (n, 1)), draw.normal(0, 2, (1, count))
    return 0.5 + a + b + draw.normal(0, 1, (n, count))


def anova(d):
    """Mean squares of a two-way layout with one value a cell, as a textbook has them: sums over all cells."""
    n, count = d.shape
    grand = sum(map(sum, d)) / (n * count)
    rows, columns = [sum(row) / count for row in d], [sum(column) / n for column in d.T]
    seeds = count * sum((row - grand) ** 2 for row in rows) / (n - 1)
    samples = n * sum((column - grand) ** 2 for column in columns) / (count - 1)
    cells = [(d[i, j] - rows[i] - columns[j] + grand) ** 2 for i in range(n) for j in range(count)]
    return seeds, samples, sum(cells) / ((n - 1) * (count - 1))


def test_the_variance_of_the_mean_is_that_of_the_analysis_of_variance():
    d = table()
    n, count = d.shape
    seeds, samples, cells = anova(d)
    found = variance_parts(d)
    assert found.seed == pytest.approx(seeds / (n * count), rel=1e-9)
    assert found.sample == pytest.approx(samples / (n * count), rel=1e-9)
    assert found.residual == pytest.approx(cells / (n * count), rel=1e-9)
    # Σ of components: (MS_seed − MS_resid)/N/n + (MS_sample − MS_resid)/n/N + MS_resid/(nN)
    by_components = (seeds - cells) / count / n + (samples - cells) / n / count + cells / (n * count)
    assert found.total == pytest.approx(by_components, rel=1e-9)
    assert found.error() ** 2 == pytest.approx(by_components, rel=1e-9)
    assert found.of_seeds == pytest.approx((seeds - cells) / count / n, rel=1e-9)


def test_the_interval_is_students_with_the_smaller_number_of_degrees():
    d = table(n=4)
    found = on_new_samples(d)
    half = stats.t.ppf(0.975, 3) * math.sqrt(variance_parts(d).total)
    assert (found.delta, found.low, found.high) == pytest.approx((d.mean(), d.mean() - half, d.mean() + half), rel=1e-9)
    assert (found.seeds, found.samples, found.groups) == (4, 40, None)
    groups = np.arange(40) % 3  # fewer groups than seeds
    clustered = on_new_samples(d, groups=groups)
    half = stats.t.ppf(0.975, 2) * math.sqrt(variance_parts(d, groups=groups).total)
    assert clustered.high - clustered.delta == pytest.approx(half, rel=1e-9)
    assert clustered.groups == 3


def test_groups_are_clusters_of_the_mean_written_out():
    d = table(n=3, count=12)
    groups = np.array([5, 5, 5, 1, 1, 9, 9, 9, 9, 2, 2, 7])
    n, count = d.shape
    rows, columns, grand = d.mean(1), d.mean(0), d.mean()
    units = set(groups.tolist())
    sums = [sum(columns[j] - grand for j in range(count) if groups[j] == g) for g in units]
    left = [
        sum(d[i, j] - rows[i] - columns[j] + grand for j in range(count) if groups[j] == g)
        for i in range(n)
        for g in units
    ]
    found = variance_parts(d, groups=groups)
    assert found.sample == pytest.approx(5 / 4 * sum(s**2 for s in sums) / count**2, rel=1e-9)
    assert found.residual == pytest.approx(5 / 4 * sum(s**2 for s in left) / ((n - 1) * n * count**2), rel=1e-9)
    alone, ids = variance_parts(d), variance_parts(d, groups=np.arange(count)[::-1].copy())
    assert (ids.seed, ids.sample, ids.residual) == pytest.approx((alone.seed, alone.sample, alone.residual), rel=1e-9)


def test_a_weight_of_two_is_two_samples_that_are_one_group():
    d = table(n=3, count=8)
    weights = np.array([1.0, 2, 1, 1, 2, 1, 1, 1])
    twice = np.repeat(np.arange(8), weights.astype(int))
    one = on_new_samples(d, weights)
    other = on_new_samples(d[:, twice], groups=twice)
    assert one.delta == pytest.approx(other.delta, rel=1e-12)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-9)
    assert one.delta == pytest.approx(np.average(d.mean(0), weights=weights), rel=1e-12)


def test_the_variance_is_never_below_that_of_one_factor():
    # samples that differ in opposite directions in the two seeds: their means do not vary, only what is left does
    d = np.array([[1.0, -1.0, 2.0, -2.0], [-1.0, 1.0, -2.0, 2.0]])
    found = variance_parts(d)
    assert found.seed + found.sample - found.residual < 0
    assert found.total == max(found.seed, found.sample)
    other = VarianceParts(0.5, 0.4, 0.7)
    assert other.total == 0.5


def test_one_seed_or_sample_has_no_interval():
    for d in (table(n=1), table(count=1)):
        found = on_new_samples(d)
        assert found.delta == pytest.approx(d.mean())
        assert (found.low, found.high, found.parts, found.sample_share, found.enough_samples) == (None,) * 5
    assert on_new_samples(table(), groups=np.zeros(40, np.int64)).low is None


SCENARIOS = {
    "seeds": (1.0, 0.2, 0.5),
    "samples": (0.05, 1.0, 0.5),
    "both": (0.3, 2.0, 2.0),
    "residuals": (0.0, 0.0, 1.0),
}


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_intervals_cover_the_mean_of_new_seeds_and_samples(scenario, n, grouped):
    a, b, e = SCENARIOS[scenario]
    draw = np.random.default_rng(1)
    count, studies = 60, 1000
    groups = np.repeat(np.arange(20), 3) if grouped else None
    covered = 0
    for _ in range(studies):
        shared = draw.normal(0, 1, (1, 20)).repeat(3, axis=1) if grouped else draw.normal(0, 1, (1, count))
        cells = draw.normal(0, 1, (n, 20)).repeat(3, axis=1) if grouped else draw.normal(0, 1, (n, count))
        found = on_new_samples(a * draw.normal(0, 1, (n, 1)) + b * shared + e * cells, groups=groups)
        covered += found.low <= 0 <= found.high
    assert covered / studies >= 0.93  # 95% minus three standard errors


def test_ignoring_the_samples_covers_too_rarely():
    """What the interval is for: the paired t-test says nothing about new samples."""
    draw = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        d = 0.05 * draw.normal(0, 1, (5, 1)) + draw.normal(0, 1, (1, 60)) + 0.5 * draw.normal(0, 1, (5, 60))
        means = d.mean(1)
        half = stats.t.ppf(0.975, 4) * means.std(ddof=1) / math.sqrt(5)
        covered += abs(means.mean()) <= half
    assert covered / 300 < 0.7


def new(parts, low=-1.0, high=1.0, **more):
    return NewSamples(0.0, low, high, parts, **({"seeds": 5, "samples": 360} | more))


def test_the_validation_set_limits_the_answer_where_twice_the_seeds_change_little():
    limited = VarianceParts(seed=0.1, sample=1.0, residual=0.05)
    found = new(limited)
    assert limited.error(seeds=2) > 0.9 * limited.error()
    assert found.enough_samples == 1000
    assert limited.error(samples=found.enough_samples / 360) <= 2 / 3 * limited.error()
    assert limited.error(samples=700 / 360) > 2 / 3 * limited.error()
    assert new(limited, groups=40).enough_samples == 100  # groups, not samples
    assert found.sample_share == pytest.approx(0.95 / 1.05)
    assert found.scatter_share == pytest.approx(0.5)


@pytest.mark.parametrize(
    "answer",
    [
        new(VarianceParts(seed=1.0, sample=1.0, residual=0.05)),  # more seeds help
        new(VarianceParts(seed=0.1, sample=1.0, residual=0.05), low=0.1),  # the answer is clear
        new(VarianceParts(seed=0.1, sample=1.0, residual=0.05), seeds=2),  # two seeds say little about variances
        new(VarianceParts(seed=0.0, sample=0.0, residual=0.0)),
        new(None),
    ],
)
def test_otherwise_it_does_not(answer):
    assert answer.enough_samples is None


@pytest.mark.parametrize(("count", "size"), [(810, 1000), (1000, 1000), (1001, 1500), (7001, 10000), (3, 3), (1, 1)])
def test_sizes_that_are_named_are_round(count, size):
    assert rounded_up(count) == size
