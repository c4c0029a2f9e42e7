from __future__ import annotations

import numpy as np
import pytest

from ablate.evidence.paired import Effect, Spread, differences, effect, own_spread
from ablate.evidence.verdicts import MOST, judge, more_seeds


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


def test_only_what_is_unclear_asks_for_more_seeds():
    down, same, noise, near, none = judge([DOWN, SAME, NOISE, NEAR, None], "lower")
    assert (down.more_seeds, same.more_seeds, none.more_seeds) == (None, None, None)
    assert (noise.verdict, near.verdict) == ("unclear", "unclear")
    assert noise.more_seeds is None, "a difference that small takes more than a hundred"
    assert near.more_seeds == more_seeds(NEAR, comparisons=4)
    assert near.more_seeds > 3


def test_more_seeds_by_simulation():
    # A difference of one deviation, seen in three pairs, two comparisons: with so many pairs in all, four of five studies find it, with one pair less fewer.
    seen = Effect(1.0, -1.0, 3.0, 0.2, 3, Spread.single(1.0, 2))
    total = 3 + more_seeds(seen, comparisons=2)
    draw = np.random.default_rng(1)

    def power(n):
        d = 1.0 + draw.standard_normal((20_000, n))
        from scipy import stats

        return float(np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue < 0.025))

    assert 0.78 < power(total) < 0.88
    assert power(total - 2) < 0.8


def test_more_seeds_to_see_that_nothing_is_there():
    seen = Effect(0.01, -1.0, 1.0, 0.9, 5, Spread.single(1.0, 4))
    assert more_seeds(seen, 1) is None
    within = more_seeds(seen, 1, smallest=0.4)
    assert 15 < within < 40
    assert more_seeds(seen, 1, smallest=0.1) is None
    assert MOST == 100
