"""Studies whose settings a sampler of Optuna searches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from ablate import api
from ablate.planning import sampling
from ablate.planning.cleaning import find_spare
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

CODE = """
import math

def main(run, lr=0.1, width=8, best=-2.0, slow=0.0):
    import time
    time.sleep(slow)
    value = 1 + (math.log10(lr) - best) ** 2 + abs(width - 20) / 1000 + (run.seed % 7) / 1000
    if lr > 0.9:
        value = float("nan")
    run.log(epoch=1, train_loss=value, valid_loss=value)
"""
OWN = """
study: own
trainer: {target: "own:main"}
seeds: 2
tune: {args.lr: {low: 0.0001, high: 1, log: true}, args.width: {low: 4, high: 32}, seeds: 1, trials: 8}
baseline: {name: base, args: {lr: 0.1, width: 8, best: -2.0}}
variants:
  - {name: other, set: {args.best: -3.0}}
"""
DIGITS = """
study: digits
data: digits
metrics: [accuracy]
seeds: 1
compare: {metric: accuracy}
tune: {optimizer.lr: {low: 1e-4, high: 1, log: true}, batch_size: {low: 16, high: 128}, seeds: 1, trials: 6}
baseline:
  name: sgd
  model: {name: mlp, hidden: [32]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.0005, momentum: 0.9}
  batch_size: 64
  epochs: 1
variants:
  - {name: adam, set: {optimizer: {name: adam, lr: 0.00003}}}
"""


def statuses(root):
    return {path.parent.name: json.loads(path.read_text()) for path in (root / "store").glob("*/status.json")}


def loss(values, best):
    """The loss of a candidate on seed 1000000, by hand; None if it diverges."""
    import math

    if values["args.lr"] > 0.9:
        return None
    return 1 + (math.log10(values["args.lr"]) - best) ** 2 + abs(values["args.width"] - 20) / 1000 + 1 / 1000


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(CODE)

    def write(old="", new=""):
        path = tmp_path / "own.yaml"
        path.write_text(OWN.replace(old, new) if old else OWN)
        return path, tmp_path / "runs"

    return write


def trials(root, variant="base", study="own"):
    return [one for one in Store(root).study(study)["trials"] if one["variant"] == variant]


def test_every_variant_gets_as_many_trials_and_the_best_value_by_hand(own):
    path, root = own()
    table = api.run(path, root=root)
    for row, best in zip(table.rows, (-2.0, -3.0), strict=True):
        tried = [one["values"] for one in trials(root, row.variant)]
        assert (row.tried, row.tried_seeds, len(tried)) == (8, 1, 8)
        known = [(score, values) for values in tried if (score := loss(values, best)) is not None]
        assert row.chosen == min(known, key=lambda one: one[0])[1]
        assert isinstance(row.chosen["args.width"], int)
        assert row.valid_loss == pytest.approx(loss(row.chosen, best) - 1 / 1000 + 0.5 / 1000)
    assert trials(root)[0]["values"] == {"args.lr": 0.1, "args.width": 8}
    assert len(statuses(root)) == 2 * 8 + 2 * 2
    before = statuses(root)
    again = api.run(path, root=root)
    assert statuses(root) == before
    assert [row.chosen for row in again.rows] == [row.chosen for row in table.rows]
    assert find_spare(Store(root), Recipe.load(path)) == []


def test_a_kill_resumes_to_the_same_candidates(own, tmp_path):
    path, root = own("best: -2.0}", "best: -2.0, slow: 0.1}")
    command = [sys.executable, "-m", "ablate", "run", str(path), "--runs", str(root), "--no-mlflow", "--jobs", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        ended = 0
        for line in process.stderr:
            ended += "seed 1000000: finished" in line
            if ended == 9:
                break
        os.killpg(process.pid, signal.SIGKILL)
    before = {name: one for name, one in statuses(root).items() if one["status"] == "finished"}
    assert 9 <= len(before) < 16
    api.run(path, root=root)
    assert {name: one for name, one in statuses(root).items() if name in before} == before
    api.run(path, root=tmp_path / "at once")
    assert trials(root, "base") == trials(tmp_path / "at once", "base")
    assert trials(root, "other") == trials(tmp_path / "at once", "other")


def test_more_trials_keep_the_earlier_ones(own):
    path, root = own("trials: 8", "trials: 6")
    api.run(path, root=root)
    first = [one["values"] for one in trials(root)]
    path, root = own()
    plan = make_plan(Recipe.load(path), Store(root))
    assert plan.waiting
    assert len(plan.search.missing()) == 2 * 2
    api.run(path, root=root)
    assert [one["values"] for one in trials(root)][:6] == first
    assert len(statuses(root)) <= 2 * 8 + 2 * 2 * 2


def test_candidates_of_another_version_of_optuna_are_kept(own, monkeypatch):
    path, root = own()
    api.run(path, root=root)
    chosen = make_plan(Recipe.load(path), Store(root)).search.tuned["base"].values
    monkeypatch.setattr(sampling, "SEED", 5)  # the sampler takes other candidates now
    plan = make_plan(Recipe.load(path), Store(root))
    assert not plan.waiting
    assert plan.to_do() == []
    assert plan.search.tuned["base"].values == chosen
    path.write_text(OWN.replace("high: 1,", "high: 0.01,"))  # another space: those outside are not
    assert make_plan(Recipe.load(path), Store(root)).waiting


def test_a_grid_after_trials_and_trials_after_a_grid(own):
    path, root = own("{low: 0.0001, high: 1, log: true}", "{values: [0.001, 0.01, 0.1, 0.2, 0.5]}")
    path.write_text(path.read_text().replace("args.width: {low: 4, high: 32}, ", "").replace(", trials: 8", ""))
    api.run(path, root=root)
    assert all("sampler" not in one for one in trials(root))
    path.write_text(path.read_text().replace("seeds: 1}", "seeds: 1, trials: 5, sampler: random}"))
    plan = make_plan(Recipe.load(path), Store(root))
    assert len(plan.search.trials) == 2 * 5
    assert not plan.search.missing()  # of five values, all are known
    api.run(path, root=root)
    assert {one["sampler"] for one in trials(root)} == {"random"}


def test_optimizers_on_digits(tmp_path):
    path = tmp_path / "digits.yaml"
    path.write_text(DIGITS)
    table = api.run(path, root=tmp_path / "runs")
    assert [row.tried for row in table.rows] == [6, 6]
    reserved = [one for one in statuses(tmp_path / "runs").values() if one["seed"] >= 1_000_000]
    assert len(reserved) == 12
    assert sum(row.tuning_device_seconds for row in table.rows) == pytest.approx(
        sum(r["device_seconds"] for r in reserved)
    )
    store = Store(tmp_path / "runs")
    for row in table.rows:
        tried = trials(tmp_path / "runs", row.variant, "digits")
        scores = [store.record(one["runs"]["1000000"]).results["selected"]["accuracy"] for one in tried]
        assert tried[scores.index(max(scores))]["values"] == row.chosen
    again = make_plan(Recipe.load(path), store)
    assert not again.waiting
    assert again.to_do() == []
