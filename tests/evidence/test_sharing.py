from __future__ import annotations

import numpy as np
import pytest

from ablate.evidence.overlaps import by_seed, overlap
from ablate.evidence.paired import effect, own_spreads
from ablate.evidence.variance_pooling import ALIKE, MARGIN, STEPS, TRUST, shared_spreads

LADDER = [("b", "a"), ("c", "b"), ("d", "c")]
STAR = [("b", "a"), ("c", "a"), ("d", "a")]


def draws(seed, sizes, n=5):
    draw = np.random.default_rng(seed)
    return [size * draw.standard_normal(n) for size in sizes]


def width(sample, spread):
    found = effect(sample, spread)
    return found.high - found.low


def test_a_comparison_alone_is_the_paired_t_test():
    from scipy import stats

    for seed in range(5):
        sample = draws(seed, [2.0])[0]
        found, expected = effect(sample, shared_spreads([sample], [("b", "a")])[0]), stats.ttest_1samp(sample, 0)
        interval = expected.confidence_interval(0.95)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)


def test_independent_comparisons_against_every_two_of_them():
    """Each pair twice, the other way round, with a variant in common on either side, with none."""
    pairs = [("b", "a"), ("b", "a"), ("a", "b"), ("c", "b"), ("c", "a"), ("d", "c"), ("f", "e")]

    def correlation(one, other):
        (a, b), (c, d) = one, other
        return ((a == c) + (b == d) - (a == d) - (b == c)) / 2

    total = sum(correlation(one, other) ** 2 for one in pairs for other in pairs)
    assert overlap(pairs) == np.sqrt(len(pairs) / total)


def test_a_noisy_parent_leaves_the_weight_of_one_comparison():
    draw = np.random.default_rng(4)
    own, parent = draw.standard_normal((4, 12)), draw.standard_normal(12)
    pairs = [(f"net{i}", "net0") for i in range(4)]
    assert overlap(pairs, own - 1000 * parent) == pytest.approx(1 / 4, rel=1e-3)
    quiet, alike, noisy = (np.mean([overlap(pairs, own - size * p) for p in draw.standard_normal((200, 12))])
                           for size in (0.1, 1.0, 10.0))  # fmt: skip
    assert overlap(pairs) >= quiet > alike > noisy
    # sizes and signs do not matter: the ladder's correlations are negative
    ladder = [("b", "a"), ("c", "b")]
    steps = np.array([parent - own[0] / 1000, own[1] / 1000 - parent])
    assert overlap(ladder, steps) == pytest.approx(1 / 2, rel=1e-3)
    assert overlap(ladder, [[1e-9], [1e9]] * steps) == pytest.approx(overlap(ladder, steps), rel=1e-9)


def test_the_measured_overlap_is_of_common_seeds_and_of_comparisons_that_share_a_variant():
    draw = np.random.default_rng(6)
    one, other, third = draw.standard_normal((3, 6))
    star = [("b", "a"), ("c", "a")]
    assert overlap(star, by_seed([one, one + 0.1 * other])) < overlap(star)
    # without a variant in common, the same differences say nothing of each other
    assert overlap([("b", "a"), ("d", "c")], by_seed([one, one + 0.1 * other])) == 1
    # seeds 3, 4, 5 are common: there the two are the same
    seeds = [(0, 1, 2, 3, 4, 5), (3, 4, 5, 6, 7, 8)]
    later = np.append(one[3:], third[:3])
    assert overlap(star, by_seed([one, later], seeds)) == pytest.approx(1 / 2, rel=1e-9)
    # two common seeds cannot tell
    assert overlap(star, by_seed([one[:3], one[1:4]], [(0, 1, 2), (1, 2, 3)])) == overlap(star)


@pytest.mark.parametrize("pairs", [LADDER, STAR])
def test_against_a_sum_written_out(pairs):
    """The average over answers, from scipy.stats' F and t distributions, one answer after another."""
    from scipy import stats

    samples = [d + 0.7 for d in draws(3, [1.0, 0.5, 4.0])]
    samples[1] = samples[1][:3]
    variances, degrees = [d.var(ddof=1) for d in samples], [len(d) - 1 for d in samples]
    # By hand: each pair of a ladder correlates by -1/2 where neighbours, of a star by 1/2 everywhere.
    squares = 3 + (4 if pairs is LADDER else 6) / 4
    share = np.sqrt(3 / squares)
    assert overlap(pairs) == pytest.approx(share, rel=1e-12)
    # As measured: on five common seeds, and on three with the second comparison
    shared = [(0, 1), (1, 2)] if pairs is LADDER else [(0, 1), (1, 2), (0, 2)]
    seen = 3.0
    for i, j in shared:
        n = min(len(samples[i]), len(samples[j]))
        r2 = np.corrcoef(samples[i][:n], samples[j][:n])[0, 1] ** 2
        seen += 2 * (1 - (1 - r2) * (n - 1) / (n - 2))
    share *= (squares / max(seen, squares)) ** (np.log(3 * share) / np.log(9 / squares))
    assert overlap(pairs, by_seed(samples)) == pytest.approx(share, rel=1e-12)

    commons = np.exp(np.linspace(np.log(min(variances)) - MARGIN, np.log(max(variances)) + MARGIN, STEPS))
    total, sums = 0.0, np.zeros(3)
    for alike, trust in zip(ALIKE, TRUST, strict=True):
        for common in commons:
            # In logarithms a density gains the variance itself as a factor, the same for every answer.
            density = [stats.f.pdf(v / common, d, alike) / common * v for v, d in zip(variances, degrees, strict=True)]
            weight = trust * np.prod(density) ** share
            total += weight
            for i, sample in enumerate(samples):
                mixed = (alike * common + degrees[i] * variances[i]) / (alike + degrees[i])
                t = abs(sample.mean()) / np.sqrt(mixed / len(sample))
                sums[i] += weight * 2 * stats.t.sf(t, alike + degrees[i])
    found = np.array([effect(d, spread).p for d, spread in zip(samples, shared_spreads(samples, pairs), strict=True)])
    alone = np.array([stats.ttest_1samp(d, 0).pvalue for d in samples])
    weights = np.clip(9 * found, 0.075, 0.45)
    assert found == pytest.approx(weights * alone + (1 - weights) * sums / total, rel=1e-10)


@pytest.mark.parametrize("level", [0.05, 0.0125])
@pytest.mark.parametrize("pairs", [LADDER, STAR])
def test_an_interval_excludes_0_exactly_where_p_is_below_its_level(pairs, level):
    seen = set()
    for seed in range(40):
        samples = [d + 0.8 for d in draws(seed, [0.5, 1.0, 2.0])]
        for sample, spread in zip(samples, shared_spreads(samples, pairs), strict=True):
            found = effect(sample, spread, level)
            end = effect(sample - found.low, spread, level)
            assert end.p == pytest.approx(level, rel=1e-9)
            assert (found.low > 0 or found.high < 0) == (found.p < level)
            seen.add(found.p < level)
    assert seen == {True, False}


def test_the_interval_of_the_noisiest_covers_the_truth():
    """Variances from 1 to 10 along a ladder of six comparisons, 600 studies of five seeds; 0.912 with a weight of 0.075."""
    draw = np.random.default_rng(3)
    sds = 10 ** np.linspace(0, 0.5, 7)
    pairs = [(str(i + 1), str(i)) for i in range(6)]
    inside = 0
    for _ in range(600):
        samples = list(np.diff(draw.standard_normal((7, 5)) * sds[:, None], axis=0))
        inside += effect(samples[-1], shared_spreads(samples, pairs)[-1]).p >= 0.05
    assert inside / 600 > 0.92


def test_rows_that_scatter_alike_help_each_other():
    narrower = 0
    for seed in range(20):
        samples = draws(seed, [1.0, 1.0, 1.0, 1.0], n=3)
        pairs = [(str(i + 1), str(i)) for i in range(4)]
        shared, own = shared_spreads(samples, pairs), own_spreads(samples)
        narrower += sum(width(d, s) < width(d, o) for d, s, o in zip(samples, shared, own, strict=True))
    assert narrower > 55


def test_a_row_far_from_the_others_keeps_its_own():
    samples = draws(1, [1.0, 1.0, 1.0, 1.0, 1000.0], n=8)
    pairs = [(f"{i}x", f"{i}y") for i in range(5)]
    shared, own = shared_spreads(samples, pairs)[-1], own_spreads(samples)[-1]
    assert width(samples[-1], shared) == pytest.approx(width(samples[-1], own), rel=0.1)


def test_units_do_not_matter():
    samples = draws(2, [1.0, 3.0, 0.5])
    small = [1e-6 * d for d in samples]
    for d, one, other in zip(samples, shared_spreads(samples, LADDER), shared_spreads(small, LADDER), strict=True):
        assert effect(d, one).p == pytest.approx(effect(1e-6 * d, other).p, rel=1e-9)


def test_a_coarse_metric_takes_its_scatter_from_the_others():
    flat = np.full(3, 0.25)
    samples = [flat, *draws(4, [1.0, 1.0], n=3)]
    alone, beside = shared_spreads([flat], LADDER[:1])[0], shared_spreads(samples, LADDER)[0]
    assert alone is None
    assert effect(flat, beside).p > 0.05
    assert effect(flat, beside).low < 0.25


def test_identical_rows_stay_identical_and_tell_nothing():
    samples = [np.zeros(4), *draws(5, [1.0, 1.0], n=4)]
    found = [effect(d, s) for d, s in zip(samples, shared_spreads(samples, LADDER), strict=True)]
    assert (found[0].low, found[0].high, found[0].p) == (0.0, 0.0, 1.0)
    without = [effect(d, s) for d, s in zip(samples[1:], shared_spreads(samples[1:], LADDER[1:]), strict=True)]
    assert [each.p for each in found[1:]] == pytest.approx([each.p for each in without], rel=1e-12)


def test_the_same_runs_under_two_names_tell_once():
    samples = draws(8, [1.0, 1.0])
    twice = shared_spreads([*samples, samples[1]], [("b", "a"), ("c", "b"), ("d", "b")])
    once = shared_spreads(samples, LADDER[:2])
    assert [effect(samples[0], spreads[0]).p for spreads in (twice, once)] == pytest.approx(
        [effect(samples[0], once[0]).p] * 2
    )
    assert effect(samples[1], twice[2]).p == effect(samples[1], twice[1]).p


def test_one_pair_has_nothing_to_borrow_for():
    samples = [np.array([0.5]), *draws(6, [1.0, 1.0], n=4)]
    assert shared_spreads(samples, LADDER)[0] is None
    assert shared_spreads([], []) == []
