from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.paired import Effect, Spread, differences, effect, own_spread
from ablate.evidence.verdicts import detectable, judge


def paired(values, reference):
    sample = differences(values, reference)
    return effect(sample, own_spread(sample))


DOWN = paired([0.1, 0.2, 0.3, 0.4], [0.5, 0.61, 0.7, 0.8])
SAME = paired([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
NOISE = paired([0.1, 0.9, 0.3], [0.5, 0.2, 0.4])
NEAR = paired([0.1, 0.5, 0.3], [0.5, 0.4, 0.6])


def words(effects, better="lower", smallest=None):
    return [judgement.verdict for judgement in judge(effects, better, smallest)]


def test_verdicts_say_which_way():
    assert words([DOWN, SAME, NOISE, None]) == ["helps", "no difference", "unclear", None]
    assert words([DOWN], "higher") == ["hurts"]


def test_what_is_surely_small_is_no_difference_however_sure_its_sign():
    assert DOWN.low == pytest.approx(-0.4105, abs=1e-4)
    assert words([DOWN], smallest=0.42) == ["no difference"]
    assert words([DOWN], smallest=0.405) == ["helps"]
    assert words([NOISE], smallest=0.5) == ["unclear"]
    tiny = paired([0.1, 0.21, 0.3, 0.41], [0.11, 0.2, 0.31, 0.4])
    assert words([tiny]) == ["unclear"]
    assert words([tiny], smallest=0.1) == ["no difference"]


def test_only_what_is_unclear_says_what_more_seeds_would_show():
    down, same, noise, near, none = judge([DOWN, SAME, NOISE, NEAR, None], "lower")
    for each in (down, same, none):
        assert (each.detectable, each.detectable_seeds) == (None, None)
    assert (noise.verdict, near.verdict) == ("unclear", "unclear")
    assert near.detectable == detectable(NEAR, 6, 0.05 / 4)
    assert near.detectable_seeds == 6
    assert near.detectable < noise.detectable


def test_what_a_number_of_seeds_would_show_is_found_in_four_of_five_studies():
    """The first step of Holm's correction over two comparisons, with differences of standard deviation 1."""
    seen = Effect(0.1, -1.0, 1.2, 0.8, 5, Spread.single(1.0, 4))
    size = detectable(seen, 10, 0.025)
    draw = np.random.default_rng(1)
    p = stats.ttest_1samp(size + draw.standard_normal((20_000, 10)), 0, axis=1).pvalue
    assert np.mean(p < 0.025) == pytest.approx(0.8, abs=0.015)
    assert detectable(seen, 40, 0.025) < size / 2
    assert detectable(SAME, 10, 0.025) is None
