"""Which results are printed in bold, and differences in percent."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.evidence.gather import gather
from ablate.recipe.variant import Compare


def best(study):
    return {row.variant: row.best for row in gather(study).rows}


@pytest.fixture
def losses():
    draw = np.random.default_rng(5)
    shared = draw.standard_normal(8)

    def make(shift, seeds=8):
        return [float(2 + shift + shared[i] + 0.02 * draw.standard_normal()) for i in range(seeds)]

    return make


def test_the_best_and_those_that_are_not_significantly_worse(make_study, losses):
    rows = {"a": (None, losses(0.5)), "b": ("a", losses(0.0)), "c": ("a", losses(0.01)), "d": ("b", losses(0.2))}
    assert best(make_study(rows)) == {"a": False, "b": True, "c": True, "d": False}
    assert best(make_study(rows, Compare(better="higher"))) == {"a": True, "b": False, "c": False, "d": False}


def test_without_a_test_only_the_best_mean(make_study, losses):
    rows = {"a": (None, losses(0.1, 2)), "b": ("a", losses(0.0, 2)), "c": ("a", losses(0.01, 2))}
    found = best(make_study(rows))
    assert sum(found.values()) == 1
    twice = {"a": (None, [0.5]), "b": ("a", [0.4]), "c": ("a", [0.4])}
    assert best(make_study(twice)) == {"a": False, "b": True, "c": True}


def test_a_variant_without_a_mean_takes_no_part(make_study, make_run, losses):
    diverged = [make_run(i, 0.01, "diverged" if i == 1 else "finished") for i in range(8)]
    rows = {"a": (None, losses(0.5)), "b": ("a", losses(0.0)), "c": ("a", diverged)}
    assert best(make_study(rows)) == {"a": False, "b": True, "c": None}
    assert best(make_study({"a": (None, losses(0.0))})) == {"a": None}


def test_percent_of_the_parents_mean_over_common_seeds(make_study, make_run):
    parent = [make_run(i, v) for i, v in enumerate([0.5, 0.3, 7.0])]
    child = [make_run(i, v) for i, v in enumerate([0.4, 0.2])]
    rows = {row.variant: row for row in gather(make_study({"a": (None, parent), "b": ("a", child)})).rows}
    assert rows["b"].delta_percent == pytest.approx(-25.0)
    assert rows["a"].delta_percent is None
    zero = {"a": (None, [1.0, -1.0]), "b": ("a", [0.4, 0.2])}
    assert gather(make_study(zero)).rows[1].delta_percent is None
