"""Which seeds become one job: as many as gain by it, with work for every core."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.execution.stack_rule import stack_rule
from ablate.planning.networks import NetworkFacts
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

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


OWN = 'model={target: "a_module:Net"}'


def own_widths(tmp_path, slots, *, seeds=5, only=None, **facts):
    """Widths of rows with a user's network, of which ``facts`` are known, or nothing."""
    (tmp_path / "a_module.py").write_text("Net = None")
    recipe = tmp_path / "own.yaml"
    recipe.write_text(DIGITS.read_text())
    plan = make_plan(Recipe.load(recipe, sets=[OWN], only=only, seeds=seeds), Store(tmp_path))
    known = {run.identity: NetworkFacts(**facts) for run in plan.runs} if facts else {}
    rule = stack_rule(plan.runs, slots, known)
    return {rule(run, seeds) for run in plan.runs}


def test_a_users_network_stacks_by_what_the_plan_found(tmp_path):
    assert own_widths(tmp_path, ["cpu"] * 2, work=0.3, parameters=1000) == {5}
    assert own_widths(tmp_path, ["cpu"] * 2, work=300.0, parameters=1000) == {1}
    assert own_widths(tmp_path, ["cpu"] * 2, work=0.3, parameters=10**13) == {1}, "what does not fit into memory"
    assert own_widths(tmp_path, ["cpu"] * 2, work=0.3, stack_reason="model: it uses aten::lstm.") == {1}
    assert own_widths(tmp_path, ["cuda:0"], work=0.3, stack_reason="model: it uses aten::lstm.") == {1}


def test_where_nothing_is_known_the_job_decides_with_more_jobs_than_cores(tmp_path):
    assert own_widths(tmp_path, ["cpu"] * 2) == {5}
    assert own_widths(tmp_path, ["cpu"] * 4) == {4}
    assert own_widths(tmp_path, ["cpu"] * 2, only="net1") == {1}
    assert own_widths(tmp_path, ["cuda:0"]) == {5}
