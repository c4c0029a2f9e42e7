"""The choice of a step of the design greedy, against values computed by hand and with numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.planning.forward_selection import best_step
from ablate.recipe.variant import Compare

ACCURACY = Compare("accuracy", "higher")
LOSS = Compare("valid_loss", "lower")


def test_the_largest_mean_gain_is_kept():
    candidates = {"a": (0.55, 0.65), "b": (0.8, 0.5), "c": (0.5, 0.5)}
    step = best_step((0.5, 0.6), candidates, ACCURACY)
    assert step.gains == pytest.approx({"a": 0.05, "b": 0.1, "c": -0.05})
    assert step.kept == "b"
    step = best_step((0.5, 0.6), candidates, LOSS)
    assert step.gains == pytest.approx({"a": -0.05, "b": -0.1, "c": 0.05})
    assert step.kept == "c"


def test_without_a_gain_nothing_is_kept():
    assert best_step((0.5,), {"a": (0.5,), "b": (0.4,)}, ACCURACY).kept is None
    assert best_step((0.3,), {"a": (0.1 + 0.2,)}, ACCURACY).kept is None  # 0.30000000000000004
    assert best_step((0.3,), {"a": (0.3 + 1e-9,)}, ACCURACY).kept == "a"


def test_of_equal_gains_the_first_trick_of_the_recipe_counts():
    assert best_step((0.5, 0.5), {"b": (0.9, 0.7), "a": (0.8, 0.8)}, ACCURACY).kept == "b"
    assert best_step((0.5, 0.5), {"a": (0.8, 0.8), "b": (0.9, 0.7)}, ACCURACY).kept == "a"
    three = {"c": (0.3, 0.3, 0.3), "d": (0.1, 0.2, 0.6)}  # 0.1 + 0.2 + 0.6 is less than 0.9 in binary
    assert best_step((0.0, 0.0, 0.0), three, ACCURACY).kept == "c"
    assert best_step((0.0, 0.0, 0.0), dict(reversed(three.items())), ACCURACY).kept == "d"


def test_a_candidate_without_a_result_is_not_kept():
    step = best_step((0.5,), {"a": (), "b": (0.6,)}, ACCURACY)
    assert step.gains["a"] is None
    assert step.kept == "b"
    assert best_step((0.5,), {"a": ()}, ACCURACY).kept is None
    nothing = best_step((), {"a": (0.9,)}, ACCURACY)
    assert (nothing.gains, nothing.kept) == ({"a": None}, None)


def test_on_the_log_scale_ratios_count():
    candidates = {"a": (1.0, 50.0), "b": (0.1, 99.0), "c": (0.0, 1.0)}
    log = best_step((1.0, 100.0), candidates, Compare("valid_loss", "lower", scale="log"))
    assert log.gains["a"] == pytest.approx(math.log(2) / 2)
    assert log.gains["b"] == pytest.approx((math.log(10) + math.log(100 / 99)) / 2)
    assert log.gains["c"] is None
    assert log.kept == "b"
    assert best_step((1.0, 100.0), {"a": (1.0, 50.0), "b": (0.1, 99.0)}, LOSS).kept == "a"


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_many_random_steps_agree_with_numpy(better):
    draw = np.random.default_rng(5)
    kept = []
    for _ in range(300):
        n, k = draw.integers(1, 6), draw.integers(1, 7)
        base = draw.normal(size=n)
        sides = base + draw.normal(-0.3, 0.5, size=(k, n))
        gains = (sides - base).mean(axis=1) * (1 if better == "higher" else -1)
        step = best_step(base.tolist(), {f"t{i}": row.tolist() for i, row in enumerate(sides)}, Compare("m", better))
        assert list(step.gains.values()) == pytest.approx(gains.tolist(), rel=1e-9, abs=1e-12)
        assert step.kept == (f"t{gains.argmax()}" if gains.max() > 0 else None)
        kept.append(step.kept)
    assert None in kept
    assert len(set(kept)) > 4
