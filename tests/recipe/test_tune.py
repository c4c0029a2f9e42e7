"""``tune`` in a recipe: what is searched, by which variants, and what is wrong with it."""

from __future__ import annotations

import pytest

from ablate.recipe.node import Problems
from ablate.recipe.search_space import Candidates
from ablate.recipe.tuning import RESERVED

LR = "tune: {optimizer.lr: {times: [1/4, 1, 4]}}\n"
SMOOTH = "tune: {optimizer.lr: {times: [1/4, 1, 4]}, tricks.label_smoothing.epsilon: {values: [0.05, 0.2]}}\n"


def test_multiples_of_each_variants_own_value_and_the_default_seeds(rows):
    tuning = rows("{name: adam, set: {optimizer: {name: adam, lr: 0.003}}}", more=LR).tuning
    assert tuning.seeds == (RESERVED, RESERVED + 1)
    tried = [{name: values for name, (_, values) in layer.items()} for layer in tuning.layers(tuning.grid)]
    assert [one["net1"]["optimizer.lr"] for one in tried] == [0.025, 0.1, 0.4]
    assert [one["adam"]["optimizer.lr"] for one in tried] == [0.00075, 0.003, 0.012]


def test_a_setting_of_a_trick_is_searched_by_variants_that_have_it(rows):
    tuning = rows("{name: net2, add: [{label_smoothing: 0.1}]}", more=SMOOTH).tuning
    assert len(tuning.points("net1", tuning.grid)) == 3
    assert len(tuning.points("net2", tuning.grid)) == 6


@pytest.mark.parametrize("line", ["set: {optimizer.lr: 0.2}", "add: [fast]"])
def test_a_value_that_a_variant_sets_is_not_tuned_nor_in_those_based_on_it(rows, line):
    fast = "tricks: {fast: {set: {optimizer.lr: 0.2}}}\n"
    lines = (f"{{name: net2, {line}}}", "{name: net3, set: {batch_size: 8}}")
    tuning = rows(*lines, more=LR + (fast if "fast" in line else "")).tuning
    assert set(tuning.own) == {"net1"}
    removed = "{name: net4, set: {optimizer: {name: adam, lr: 0.01}}}"
    assert set(rows(*lines, removed, more=LR + (fast if "fast" in line else "")).tuning.own) == {"net1", "net4"}


def test_without_tuning_a_variant_has_the_value_of_its_parent(rows):
    recipe = rows(
        "{name: net2, tune: off, set: {batch_size: 8}}",
        "{name: net3, from: net1, tune: off, set: {optimizer: {name: adam, lr: 0.1}}}",
        more=LR,
    )
    settled = recipe.tuning.settled({"net1": {"optimizer.lr": 0.4}}, recipe.family)
    assert settled == {"net1": {"optimizer.lr": 0.4}, "net2": {"optimizer.lr": 0.4}}
    built = recipe.tuning.built(settled, Problems())
    assert [built[name].settings.optimizer.options.lr for name in ("net1", "net2", "net3")] == [0.4, 0.4, 0.1]


def test_a_wider_grid_keeps_the_ratio_and_integers():
    assert Candidates("times", (0.25, 1, 4)).beyond("high") == 16
    assert Candidates("values", (0.01, 0.03, 0.1)).beyond("low") == 0.003333
    assert Candidates("values", (16, 32)).beyond("high") == 64
    assert Candidates("values", (0, 0.1)).beyond("low") is None
    assert Candidates("times", (0.5, 1, 2)).of(2, 64) == 128
    assert isinstance(Candidates("times", (0.5, 1, 2)).of(0.5, 64), int)


SMOOTHED = "{name: net2, add: [{label_smoothing: 0.1}]}"


@pytest.mark.parametrize(
    ("tune", "text"),
    [
        ("{optimizer.lrr: {times: [1, 2]}}", "tune.optimizer.lrr: no variant has this setting. Did you mean 'lr'?"),
        ("{epochs: {values: [1, 2]}}", "tune.epochs cannot be tuned. Available: args, model, init, optimizer"),
        ("{tricks.flip.p: {values: [0.1, 0.2]}}", "tune.tricks.flip.p: no variant has this setting."),
        ("{optimizer.decay: {values: [1, 2]}}", "tune.optimizer.decay: net1 has l2, not a number. Set a number, or"),
        ("{optimizer.lr: {times: []}}", "tune.optimizer.lr.times (=[]) must list 2 to 20 different numbers greater"),
        ("{optimizer.lr: {values: [a, b]}}", "tune.optimizer.lr.values (=[a, b]) must list 2 to 20 different numbers,"),
        ("{optimizer.lr: [1, 2]}", "tune.optimizer.lr (=[1, 2]) must have 'times' or 'values', such as"),
        ("{optimizer.lr: {times: [1, 2]}, seeds: 0}", "tune.seeds (=0) must be an integer between 1 and 100."),
        ("{optimizer.lr: {low: 1, high: 1}}", "tune.optimizer.lr (={low: 1, high: 1}) must have a 'low' that is less"),
        ("{optimizer.lr: {low: 0, high: 1, log: true}}", "must have a 'low' greater than 0 with 'log: true'."),
        ("{optimizer.lr: {low: 0.1}}", "tune.optimizer.lr (={low: 0.1}) must have numbers 'low' and 'high', and may"),
        ("{optimizer.lr: {low: 0.1, high: 1, log: 2}}", "must have numbers 'low' and 'high', and may have 'log: true'"),
        ("{optimizer.lr: {low: 0.1, high: 1, values: [1]}}", "must have numbers 'low' and 'high', and may have"),
        ("{optimizer.lr: {low: -1, high: 1}}", "optimizer.lr (=-1.0) must be greater than"),
        ("{optimizer.lr: {low: 0.1, high: 1}, trials: 1}", "tune.trials (=1) must be an integer between 2 and 100."),
        ("{optimizer.lr: {low: 0.1, high: 1}, sampler: gp}", "tune.sampler (=gp) must be tpe or random."),
        (
            "{optimizer.lr: {times: [1, 2]}, trials: 4}",
            "tune.optimizer.lr: 'times' are for a grid. With a sampler, use",
        ),
        ("{seeds: 2}", "tune must name a setting, such as {optimizer.lr: {times: [1/3, 1, 3]}}."),
        ("[optimizer.lr]", "tune (=[optimizer.lr]) must be a mapping"),
        ("{optimizer.momentum: {times: [1, 2]}}", "optimizer.momentum (=1.8) must be less than 1."),
        ("{optimizer.lr: {values: [-1, 2]}}", "optimizer.lr (=-1) must be greater than"),
        (
            "{tricks.label_smoothing.epsilon: {values: [0.1, 2]}}",
            "tricks.label_smoothing.epsilon (=2) must be ",
        ),
    ],
)
def test_wrong(wrong_rows, tune, text):
    [problem] = wrong_rows(SMOOTHED, more=f"tune: {tune}\n")
    assert text in problem


def test_seeds_that_are_reserved(wrong_rows):
    [problem] = wrong_rows(SMOOTHED, more=f"seeds: [0, 1000001]\n{LR}")
    assert "seed (=1000001) is reserved for tuning (1000000 to 1000001). Use other seeds." in problem


@pytest.mark.parametrize("path", ["optimizer.lr=1", "net2.optimizer.lr=1"])
def test_a_flag_for_what_is_tuned(wrong_rows, path):
    [problem] = wrong_rows(SMOOTHED, more=LR, sets=[path])
    assert "optimizer.lr is tuned, so it cannot be set. Change 'tune' in the recipe." in problem


def test_a_variant_that_is_not_tuned_where_nothing_is(wrong_rows):
    [problem] = wrong_rows("{name: net2, add: [flip], tune: off}")
    assert "variants[0].tune requires 'tune' in the recipe" in problem


def test_multiples_of_zero(wrong_rows):
    zero = "{name: net2, set: {optimizer: {name: sgd, lr: 0.1, momentum: 0}}}"
    [problem] = wrong_rows(zero, more="tune: {optimizer.momentum: {times: [0.5, 1]}}\n")
    assert "tune.optimizer.momentum.times: net2 has 0, whose multiples are all 0. Use 'values'." in problem


def test_trials_of_a_sampler(rows):
    lr = "tune: {optimizer.lr: {low: 0.001, high: 1, log: true}"
    tuning = rows(SMOOTHED, more=f"{lr}, batch_size: {{values: [16, 32, 64]}}}}\n").tuning
    assert (tuning.trials, tuning.sampler, tuning.count("net1", tuning.grid)) == (12, "tpe", 12)
    assert tuning.grid["optimizer.lr"] == Candidates("range", (0.001, 1), log=True)
    tuning = rows(SMOOTHED, more=f"{lr}, trials: 30, sampler: random}}\n").tuning
    assert (tuning.trials, tuning.sampler) == (30, "random")
    assert rows(SMOOTHED, more=LR).tuning.trials is None
    listed = rows(SMOOTHED, more="tune: {optimizer.lr: {values: [0.1, 0.2]}, trials: 5}\n").tuning
    assert (listed.trials, listed.sampler) == (5, "tpe")
