"""``ablate run`` trains the plan that it printed, whatever is edited between the two."""

from __future__ import annotations

import pytest

from ablate.cli.app import run_command
from ablate.cli.progress import Progress
from ablate.execution.worker import CHANGED
from ablate.planning import plan as planning
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

RECIPE = """
study: once
data: digits
baseline: {name: library, model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 1}
variants: [{name: own, set: {model: {target: "net:Net"}}}]
"""
NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, spec):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    (tmp_path / "once.yaml").write_text(RECIPE)
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_edit_after_the_printed_plan_changes_nothing_that_is_trained(study, monkeypatch, capsys):
    printed = make_plan(Recipe.load("once.yaml"), Store(study / "runs"))
    plans = []
    monkeypatch.setattr(planning, "make_plan", lambda *given: plans.append(make_plan(*given)) or plans[-1])

    def edit(progress, rows):
        """What somebody saves in an editor when the plan is on the screen and nothing has started yet."""
        (study / "once.yaml").write_text(RECIPE.replace("epochs: 1", "epochs: 3").replace("lr: 0.1", "lr: 0.2"))
        (study / "net.py").write_text(NET.replace("nn.Flatten(), ", "nn.Flatten(), nn.Identity(), "))
        assert rows == [("library", 1, 1), ("own", 1, 1)]

    monkeypatch.setattr(Progress, "start", edit)
    assert run_command(["run", "once.yaml", "--no-mlflow", "--jobs", "1"]) == 1
    assert len(plans) == 1
    assert [run.fingerprint for run in plans[0].runs] == [run.fingerprint for run in printed.runs]
    library, own = (run.record for run in printed.renewed(Store(study / "runs")).runs)
    assert (library.status, library.epochs, library.epoch) == ("finished", 1, 1)
    assert (own.status, own.epoch) != ("finished", 1), "the edited network must not be kept as the planned one's result"
    trained = {path.parent.name for path in (study / "runs").rglob("metrics.jsonl")}
    assert trained == {library.fingerprint}
    assert CHANGED in " ".join(capsys.readouterr().err.split())
