from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.evidence.paired import Spread, combined, differences, effect, own_spreads
from ablate.evidence.verdicts import holm


def paired(values, reference):
    sample = differences(values, reference)
    return effect(sample, own_spreads([sample])[0])


def test_by_hand():
    # Differences -2, -4, -3: mean -3, sd 1, t = -3 / (1/√3); t(0.975, 2) = 4.302653 from the printed table.
    found = paired([1.0, 2.0, 3.0], [3.0, 6.0, 6.0])
    assert found.delta == -3.0
    assert found.n == 3
    assert found.high == pytest.approx(-3 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.low == pytest.approx(-3 - 4.302653 / math.sqrt(3), abs=1e-6)
    # Two degrees of freedom have a closed form: p = 1 − |t| / √(2 + t²).
    assert found.p == pytest.approx(1 - math.sqrt(27) / math.sqrt(29), abs=1e-12)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_agrees_with_scipy(n):
    from scipy import stats

    draw = np.random.default_rng(n)
    a, b = draw.normal(1, 0.2, n), draw.normal(1.1, 0.3, n)
    found, expected = paired(a, b), stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)


def test_one_pair_has_a_difference_and_nothing_else():
    found = paired([0.4], [0.5])
    assert found.delta == pytest.approx(-0.1)
    assert (found.low, found.high, found.p, found.n) == (None, None, None, 1)


def test_two_pairs_have_an_interval_and_no_p_value():
    found = paired([0.4, 0.5], [0.5, 0.8])
    # Mean -0.2, sd 0.1·√2, standard error 0.1, t(0.975, 1) = 12.706205.
    assert found.low == pytest.approx(-0.2 - 1.2706205, abs=1e-6)
    assert found.p is None


def test_without_scatter():
    assert paired([1.0] * 3, [1.0] * 3).p == 1.0
    # The same difference three times, as a coarse metric gives it by chance, is not certainty.
    constant = paired([1.5, 1.6, 1.7], [1.0, 1.1, 1.2])
    assert (constant.delta, constant.low, constant.p) == (pytest.approx(0.5), None, None)


def test_a_spread_from_elsewhere_is_used():
    sample = differences([1.0, 2.0, 3.0], [3.0, 6.0, 6.0])
    wide, narrow = effect(sample, Spread.single(10.0, 20)), effect(sample, Spread.single(0.1, 20))
    assert wide.low < narrow.low < narrow.delta == wide.delta
    assert wide.p > 0.05 > narrow.p


def test_several_variances_average_their_p_values():
    from scipy import stats

    sample = np.array([1.0, 2.0, 4.0, 3.0])
    variances, degrees, weights = np.array([0.5, 2.0, 8.0]), np.array([3.5, 5.0, 19.0]), np.array([0.2, 0.5, 0.3])
    found = effect(sample, Spread(variances, degrees, weights))
    each = 2 * stats.t.sf(2.5 / np.sqrt(variances / 4), degrees)
    assert found.p == pytest.approx(float(each @ weights), rel=1e-10)
    half = found.high - found.delta
    at_the_end = 2 * stats.t.sf(half / np.sqrt(variances / 4), degrees)
    assert float(at_the_end @ weights) == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize("own", [1e-9, 1e-4, 0.02, 0.06, 0.2, 0.9])
@pytest.mark.parametrize("shared", [1e-12, 1e-4, 0.004, 0.03, 0.06, 0.7])
def test_the_own_variance_counts_more_in_larger_p_values(shared, own):
    from scipy import optimize

    def excess(p):
        weight = min(max(0.075, 9 * p), 0.45)
        return p - (1 - weight) * shared - weight * own

    found = combined(shared, own)
    assert found == pytest.approx(optimize.brentq(excess, 0, 1, xtol=1e-18, rtol=1e-14), rel=1e-9)
    small = 0.925 * shared + 0.075 * own
    assert (found == pytest.approx(small, rel=1e-12)) == (small <= 0.05 / 6 or shared == own)
    assert combined(shared * 1.01, own) > found
    assert combined(shared, own * 1.01) > found


def test_misaligned_pairs_are_refused():
    with pytest.raises(ValueError, match="must be two rows of the same length"):
        differences([1.0, 2.0], [1.0])


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04 → never below the one before.
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(20))
def test_holm_keeps_order_and_never_lowers(seed):
    draw = np.random.default_rng(seed)
    p_values = list(draw.random(draw.integers(1, 9)) ** 3)
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    ranked = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert ranked == sorted(ranked)
