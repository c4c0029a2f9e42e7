from __future__ import annotations

import numpy as np
import pytest

from ablate.evidence.interactions import interaction
from ablate.evidence.paired import effect, own_spread


def four_rows(planted, seeds=6):
    """Two changes worth -0.3 and -0.2, together ``planted`` more; what all rows of a seed share, and noise of each
    row's own.
    """
    draw = np.random.default_rng(7)
    shared = draw.standard_normal(seeds)
    worth = {"neither": 0.0, "first": -0.3, "second": -0.2, "both": -0.5 + planted}
    return {
        name: {seed: float(1 + w + shared[seed] + 0.02 * draw.standard_normal()) for seed in range(seeds)}
        for name, w in worth.items()
    }


def test_a_planted_interaction_is_reported():
    sample, seeds = interaction(**four_rows(0.15))
    found = effect(sample, own_spread(sample))
    assert seeds == list(range(6))
    assert found.low < 0.15 < found.high
    assert found.p < 0.01
    assert found.low > 0


def test_changes_that_add_up_have_none():
    sample, _ = interaction(**four_rows(0.0))
    found = effect(sample, own_spread(sample))
    assert found.low < 0 < found.high


def test_by_hand_over_the_seeds_that_all_rows_have():
    rows = [{0: 5.0, 1: 5.0, 2: 5.0}, {0: 4.0, 1: 3.0}, {1: 4.5, 0: 4.0, 3: 1.0}, {0: 1.0, 1: 2.0}]
    sample, seeds = interaction(*rows)
    # Seed 0: (1 - 4) - (4 - 5) = -2; seed 1: (2 - 3) - (4.5 - 5) = -0.5.
    assert seeds == [0, 1]
    assert list(sample) == pytest.approx([-2.0, -0.5])
