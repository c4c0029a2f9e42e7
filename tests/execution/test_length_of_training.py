"""A study whose trainings end in the middle of an epoch: what is stored, and what its plan and table show."""

from __future__ import annotations

import pytest

from ablate.api import run
from ablate.planning.estimates import Estimates
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

TEXT = """
data: {name: digits, limit: 200}
metrics: [accuracy]
baseline:
  name: a
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: {linear: [0.1, 0]}}
  batch_size: 16
  epochs: 1.5
variants:
  - {name: b, set: {steps: 23}}
  - {name: c, set: {steps: 20}}
  - {name: d, add: [{accumulate: 2}]}
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "r.yaml").write_text(TEXT)
    return Recipe.load(tmp_path / "r.yaml")


def test_a_table_shows_the_fraction_of_epochs_and_the_steps(recipe, ablate, tmp_path):
    """160 samples in batches of 16: 10 steps per epoch, 5 with accumulation."""
    table = run(recipe, root=str(tmp_path / "runs"))
    shown = {row.variant: (row.status, row.epochs, row.steps) for row in table.rows}
    assert shown == {
        "a": ("finished", 1.5, 15),
        "b": ("finished", 2.3, 23),
        "c": ("finished", 2, 20),
        "d": ("finished", 4, 20),
    }
    printed = ablate("table", "r.yaml").out
    assert [line.split()[1] for line in printed.splitlines()[2:6]] == ["1.5", "2.3", "2", "4"]
    told = {row.variant: [note.kind for note in row.unlike] for row in table.rows}
    assert "other_steps" not in told["b"]
    assert "other_steps" in told["d"]
    store = Store(tmp_path / "runs")
    plan = make_plan(recipe, store)
    assert plan.to_do() == []
    runs = {run.variant.name: run for run in plan.runs}
    assert {name: run.record.epochs for name, run in runs.items()} == {"a": 2, "b": 3, "c": 2, "d": 4}
    later = make_plan(Recipe.load(tmp_path / "r.yaml", seeds=2), store)
    estimates = Estimates(later, store)
    waiting = {run.variant.name: estimates.epochs_left(run) for run in later.to_do()}
    assert waiting == {"a": 2, "b": 3, "c": 2, "d": 4}, "those of the first seed"
    lines = [dict(line) for line in store.metrics(runs["b"].fingerprint)]
    assert [(line["epoch"], line.get("at")) for line in lines] == [(1, None), (2, None), (3, {"epoch": 2.3})]
    assert lines[-1]["lr"] == 0
