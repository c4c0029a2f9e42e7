"""The candidates that a sampler takes, against Optuna used directly."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from ablate.planning.sampling import BATCH, STARTUP, Told, asked
from ablate.recipe import Recipe
from ablate.recipe.search_space import Candidates

RECIPE = """
data: digits
metrics: [accuracy]
compare: {metric: METRIC}
tune: {optimizer.lr: {low: 0.0001, high: 1, log: true}, MORE seeds: 1, trials: 24, sampler: SAMPLER}
baseline:
  name: sgd
  model: {name: mlp, hidden: [32]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 64
variants:
  - {name: adam, set: {optimizer: {name: adam, lr: 3}}}
"""


@pytest.fixture
def tuning(tmp_path):
    def make(sampler="tpe", more="", metric="valid_loss"):
        path = tmp_path / "r.yaml"
        path.write_text(RECIPE.replace("SAMPLER", sampler).replace("MORE", more).replace("METRIC", metric))
        return Recipe.load(path).tuning

    return make


def loss(values):
    return (math.log10(values["optimizer.lr"]) + 2) ** 2


def search(tuning, score, variant="adam"):
    told = []
    while batch := asked(tuning, variant, told):
        told += [Told(values, score(values)) for values in batch]
    return told


def test_the_candidates_are_those_of_optuna(tuning):
    told = search(tuning(), loss)
    assert len(told) == 24
    space = {"optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1, log=True)}
    mine = []
    while len(mine) < 24:
        sampler = optuna.samplers.TPESampler(seed=len(mine), n_startup_trials=STARTUP, constant_liar=True)
        study = optuna.create_study(direction="minimize", sampler=sampler)
        for value in mine:
            study.add_trial(
                optuna.create_trial(
                    params={"optimizer.lr": value}, distributions=space, value=(math.log10(value) + 2) ** 2
                )
            )
        mine += [float(f"{study.ask(space).params['optimizer.lr']:.4g}") for _ in range(BATCH)]
    assert [one.values["optimizer.lr"] for one in told] == mine


def test_tpe_uses_the_results_and_random_does_not(tuning):
    best = {"tpe": 0.0, "random": 0.0}
    for name in best:
        for exponent in (-3.4, -3.1, -2.8, -2.3, -1.9, -1.4, -1.1, -0.7):
            told = search(tuning(name), lambda values, at=exponent: (math.log10(values["optimizer.lr"]) - at) ** 2)
            best[name] += min(one.score for one in told)
    assert best["tpe"] < best["random"] / 4
    worse = search(tuning("random"), lambda values: -loss(values))
    assert [one.values for one in worse] == [one.values for one in search(tuning("random"), loss)]


def test_the_better_direction_is_that_of_the_metric(tuning):
    found = search(tuning(metric="accuracy"), lambda values: -loss(values))
    assert [one.values for one in found] == [one.values for one in search(tuning(), loss)]


def test_values_of_candidates_that_failed_are_avoided(tuning):
    found = search(tuning(), lambda values: None if values["optimizer.lr"] > 0.01 else 0.5 - values["optimizer.lr"])
    late = [one.score is None for one in found[STARTUP:]]
    assert sum(late) / len(late) < 0.35
    assert sum(one.score is None for one in found[:STARTUP]) / STARTUP >= 0.35


def test_a_variants_own_values_come_first_where_they_are_in_the_space(tuning):
    sgd, adam = (asked(tuning(), name, []) for name in ("sgd", "adam"))
    assert sgd[0] == {"optimizer.lr": 0.1}
    assert 1e-4 <= adam[0]["optimizer.lr"] <= 1
    assert sgd[1:] == adam[1:]


def test_integers_and_lists_of_values(tuning):
    more = "batch_size: {low: 16, high: 64}, optimizer.momentum: {values: [0, 0.5, 0.9]},"
    found = [one.values for one in search(tuning("random", more), lambda values: 1.0, "sgd")]
    assert found[0] == {"optimizer.lr": 0.1, "batch_size": 64, "optimizer.momentum": 0.9}
    assert all(type(values["batch_size"]) is int and 16 <= values["batch_size"] <= 64 for values in found)
    assert {values["optimizer.momentum"] for values in found} == {0, 0.5, 0.9}
    assert len({values["batch_size"] for values in found}) > 10


def test_rounding_stays_in_the_range():
    assert Candidates("range", (0.1, 0.12346)).of(0.123459, 0.2) == 0.1235 - 0.00004
    assert Candidates("range", (0.000123456, 1)).of(0.0001234561, 0.2) == 0.0001235
    assert Candidates("range", (0.000123456, 1)).of(0.00012344, 0.2) == 0.000123456
    assert Candidates("range", (1, 9)).of(3, 0.5) == 3.0


def test_without_optuna_one_line_says_what_to_install(tuning, tmp_path, monkeypatch):
    made = tuning()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"^tune with trials requires Optuna. Install it with: pip install 'ablate-"):
        asked(made, "sgd", [])
    code = "import sys; sys.modules['optuna'] = None; from ablate.cli import main; sys.argv = ['ablate', 'plan', 'r.yaml', '--quick']; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "tune with trials requires Optuna. Install it with: pip install 'ablate-runner[tune]'"


def test_a_grid_does_not_import_optuna(tmp_path):
    text = RECIPE.replace("METRIC", "accuracy").replace("MORE", "").replace(", trials: 24, sampler: SAMPLER", "")
    Path(tmp_path / "r.yaml").write_text(text.replace("{low: 0.0001, high: 1, log: true}", "{times: [0.1, 0.2]}"))
    code = "import sys; from ablate import api; api.table('r.yaml'); print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
