"""Cross-validation and marks to reach, as a recipe says them; and what may not be compared."""

from __future__ import annotations

import json

import jsonschema
import pytest

from ablate.recipe import identity, run_fingerprint
from ablate.recipe.folds import Folds
from ablate.recipe.measured import Reach
from ablate.recipe.schema import recipe_schema

BASE = """\
data: {name: digits, test: 0.1}
metrics: [accuracy]
baseline: {name: net1, model: mlp, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 4}
variants: [{name: net2, add: [dropout]}]
"""


def test_folds_are_a_number_or_a_mapping(load):
    assert load(BASE).folds is None
    assert load(BASE + "folds: 5\n").folds == Folds(5)
    assert load(BASE + "folds: {k: 4, stratified: false}\n").folds == Folds(4, False)
    assert load(BASE + "folds: {k: 3}\n").folds == Folds(3, None)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("1", "r.yaml:5:8: folds (=1) … 2 … 100 … 'folds: 5' …"),
        ("true", "r.yaml:5:8: folds (=true) … 2 … 100 …"),
        ("five", "r.yaml:5:8: folds (=five) … 2 … 100 …"),
        ("{stratified: true}", "r.yaml:5:8: folds.k … 'folds: 5' …"),
        ("{k: 2.5}", "r.yaml:5:12: folds.k (=2.5) … 2 … 100 …"),
        ("{k: 3, grouped: true}", "r.yaml:5:15: folds.grouped … data.group, …"),
        ("{k: 3, stratified: maybe}", "r.yaml:5:27: folds.stratified (=maybe) must be true or false."),
    ],
)
def test_wrong_folds_are_said_in_a_line(problems, written, rule):
    [line] = problems(BASE + f"folds: {written}\n")
    assert line == rule


def test_a_run_of_another_fold_or_of_other_folds_is_another_run(load):
    recipe = load(BASE)
    settings = recipe.variants[0].settings

    def name(fold, folds):
        return run_fingerprint(identity(settings, folder=recipe.folder, folds=folds), 0, fold)

    names = [name(None, None), name(0, Folds(5)), name(1, Folds(5)), name(0, Folds(10)), name(0, Folds(5, False))]
    assert len(set(names)) == len(names)
    assert name(1, Folds(5)) == name(1, Folds(5))


def test_marks_know_their_direction(load):
    assert load(BASE).reach == ()
    marks = load(BASE + "reach: {valid_loss: 0.5, accuracy: 0.9}\n").reach
    assert marks == (Reach("valid_loss", 0.5, "lower"), Reach("accuracy", 0.9, "higher"))
    assert [marks[0].reached(value) for value in (0.4, 0.5, 0.6, None)] == [True, True, False, False]
    assert [marks[1].reached(value) for value in (0.8, 0.9)] == [False, True]


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("{valid_los: 0.5}", "r.yaml:5:9: reach.valid_los … 'valid_loss'? …"),
        ("{valid_loss: low}", "r.yaml:5:21: reach.valid_loss (=low) must be a number."),
        ("{train_loss_clean: 0.5}", "r.yaml:5:9: reach.train_loss_clean … train_loss, valid_loss …"),
        ("{test_loss: 0.5}", "r.yaml:5:9: reach.test_loss … train_loss, valid_loss …"),
        ("0.5", "r.yaml:5:8: reach (=0.5) must be a mapping, such as {valid_loss: 0.0015}."),
    ],
)
def test_wrong_marks_are_said_in_a_line(problems, written, rule):
    [line] = problems(BASE + f"reach: {written}\n")
    assert line == rule


def test_the_schema_knows_both():
    check = jsonschema.Draft202012Validator(recipe_schema())
    base = {"baseline": {"model": "mlp", "loss": "mse", "optimizer": {"name": "sgd", "lr": 0.1}}, "data": "digits"}
    for good in ({"folds": 5}, {"folds": {"k": 5, "stratified": True}}, {"reach": {"valid_loss": 0.5}}):
        assert list(check.iter_errors(base | good)) == []
    for bad in ({"folds": 1}, {"folds": {}}, {"folds": {"k": 5, "groups": 1}}, {"reach": {"valid_loss": "low"}}):
        assert list(check.iter_errors(base | bad)), json.dumps(bad)


def test_the_test_part_can_be_compared_where_there_is_one(load, problems):
    assert load(BASE + "compare: {metric: test_accuracy}\n").compare.better == "higher"
    assert load(BASE + "compare: {metric: test_loss}\n").compare.metric == "test_loss"
    without = BASE.replace("{name: digits, test: 0.1}", "digits")
    [line] = problems(without + "compare: {metric: test_loss}\n")
    assert line == "r.yaml:5:19: compare.metric (=test_loss) … net1 … valid_loss, accuracy …"


SCALED = """\
data: {name: csv, path: prices.csv, target: price}
metrics: [{target: "own:error"}]
baseline: {name: net1, model: mlp, loss: mse, optimizer: {name: sgd, lr: 0.1}}
variants: [{name: net2, add: [normalise_targets]}]
"""


def test_rows_whose_targets_are_in_other_units_are_not_compared_by_their_loss(load, problems, tmp_path):
    (tmp_path / "prices.csv").write_text("x,price\n1,2\n")
    (tmp_path / "own.py").write_text("def error(prediction, target): ...\n")
    [line] = problems(SCALED)
    assert line == "r.yaml:4:19: net2: … net1, … valid_loss …"
    both = SCALED.replace("sgd, lr: 0.1}}", "sgd, lr: 0.1}, add: [normalise_targets]}").replace(
        "add: [normalise_targets]}]", "add: [{normalise_targets: unit}]}]"
    )
    assert len(problems(both)) == 1
    assert problems(SCALED + "compare: {metric: error, better: lower}\n") == []
