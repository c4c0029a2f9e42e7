"""``--set compare.…``: another comparison of the same runs; no setting of a variant changes."""

from __future__ import annotations

import pytest

from ablate.planning.plan import make_plan, settings_flags
from ablate.recipe import Recipe, RecipeError
from ablate.recipe.measured import comparing
from ablate.recipe.variant import Compare, Failed, MeanOfLast
from ablate.store.store import Store

TEXT = """
data: digits
metrics: [accuracy]
{compare}
seeds: 3
baseline: {{model: {{name: mlp, hidden: [4]}}, loss: cross_entropy, optimizer: sgd, epochs: 1}}
variants: [{{name: a, add: [flip]}}]
"""


@pytest.fixture
def load(tmp_path):
    def load(*sets, compare=""):
        path = tmp_path / "r.yaml"
        path.write_text(TEXT.format(compare=compare and f"compare: {{{compare}}}"))
        return Recipe.load(path, sets=sets)

    return load


@pytest.mark.parametrize(
    "compare", ["", "smallest_effect: 0.01", "metric: valid_loss, better: lower, smallest_effect: 1"]
)
def test_another_metric_has_its_own_direction_and_no_smallest_effect_of_the_old_one(load, compare):
    found = load("compare.metric=accuracy", compare=compare).compare
    assert (found.metric, found.better) == ("accuracy", "higher")
    assert found.smallest_effect is None or "metric" not in compare


def test_each_key_can_be_set_in_any_order(load):
    found = load(
        "compare.smallest_effect=0.02",
        "compare.at=last",
        "compare.metric=accuracy",
        compare="metric: valid_loss, at: best",
    ).compare
    assert (found.metric, found.better, found.at, found.smallest_effect) == ("accuracy", "higher", "last", 0.02)
    assert load("compare.better=higher").compare.better == "higher"
    assert (
        load("compare.metric=valid_loss", compare="metric: valid_loss, smallest_effect: 1").compare.smallest_effect == 1
    )


def test_means_scales_and_failures_can_be_set(load):
    found = load("compare.at={mean_of_last: 1}", "compare.scale=log", "compare.failed='> 1.5'").compare
    assert found == Compare(at=MeanOfLast(1), scale="log", failed=Failed(">", 1.5))
    with pytest.raises(RecipeError, match="must be a ratio greater than 1"):
        load("compare.scale=log", compare="smallest_effect: 0.98")


def test_the_training_loss_in_evaluation_mode_is_compared_at_the_selected_epoch(load):
    metric = "compare.metric=train_loss_clean"
    rule = (
        r"compare.at \(=best\) requires train_loss_clean of every epoch, but baseline computes it only at its selected"
    )
    with pytest.raises(RecipeError, match=rule):
        load(metric, "compare.at=best")
    for more in (
        ["compare.at=last"],
        ["compare.at=best", "select=best"],
        ["compare.at=best", "clean_train_loss=every"],
    ):
        assert load(metric, *more).compare.metric == "train_loss_clean"
    recipe = load(compare="at: best")
    with pytest.raises(ValueError, match=r"train_loss_clean\) cannot be compared: compare.at \(=best\) requires"):
        comparing(recipe.variants, recipe.compare, "train_loss_clean")


def test_runs_stay_the_same_and_count_as_those_of_the_recipe(load, tmp_path):
    store = Store(tmp_path / "runs")
    plain, other = make_plan(load(), store), make_plan(load("compare.metric=accuracy", "epochs=1"), store)
    assert [run.fingerprint for run in plain.runs] == [run.fingerprint for run in other.runs]
    assert settings_flags(other.recipe.selection) == ["--set", "epochs=1"]
    assert other.recipe.selection == ("--set", "compare.metric=accuracy", "--set", "epochs=1")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare.metric=acuracy", "Did you mean 'accuracy'?"),
        ("compare.at=first", "compare.at (=first) must be one of"),
        ("compare.smallest_effect=-1", "compare.smallest_effect (=-1) must be a number greater than 0"),
        ("compare.at={mean_of_last: 0}", "compare.at.mean_of_last (=0) must be an integer of at least 1"),
        ("compare.at={mean_of_last: 2}", "must be at most the number of epochs of baseline (=1)"),
        ("compare.scale=lin", "compare.scale (=lin) must be one of linear, log."),
        ("compare.failed='< 0.2'", "must be the worse side, as lower is better"),
        ("compare.failed=1.5", "must be a limit of compare.metric"),
        ("compare.metrik=accuracy", "Did you mean 'compare.metric'?"),
        ("compare={metric: accuracy}", "cannot be set"),
    ],
)
def test_what_is_wrong_names_the_flag(load, line, said):
    with pytest.raises(RecipeError) as caught:
        load(line)
    [problem] = str(caught.value).splitlines()
    assert problem.startswith(f"--set {line}: ")
    assert said in problem


def test_a_variant_called_compare_keeps_its_settings(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(TEXT.format(compare="").replace("name: a,", "name: compare,"))
    recipe = Recipe.load(path, sets=["compare.epochs=7"])
    assert [variant.settings.epochs for variant in recipe.variants] == [1, 7]
    assert settings_flags(recipe.selection) == ["--set", "compare.epochs=7"]
