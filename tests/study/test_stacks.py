"""Which seeds become one job: as many as gain by it, with work for every core."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.recipe import Recipe
from ablate.study.plan import make_plan
from ablate.study.stacks import stack_rule
from ablate.study.store import Store

DIGITS = Path(__file__).parents[2] / "recipes" / "digits.yaml"


def widths(tmp_path, slots, *sets, only=None):
    plan = make_plan(Recipe.load(DIGITS, sets=sets, only=only), Store(tmp_path))
    rule = stack_rule(plan.runs, slots)
    return {run.variant.name: rule(run, 5) for run in plan.runs}


def test_small_networks_train_together_where_there_are_jobs_for_all_cores(tmp_path):
    assert set(widths(tmp_path, ["cpu"] * 2).values()) == {5}


@pytest.mark.parametrize(("cores", "width"), [(1, 5), (2, 3), (4, 2), (5, 1), (16, 1)])
def test_a_lone_variant_is_shared_out_over_the_cores(tmp_path, cores, width):
    assert widths(tmp_path, ["cpu"] * cores, only="net1") == {"net1": width}


def test_the_recipe_has_the_last_word(tmp_path):
    assert set(widths(tmp_path, ["cpu"] * 2, "stack=off").values()) == {1}
    assert widths(tmp_path, ["cpu"] * 8, "stack=4", only="net1") == {"net1": 4}
