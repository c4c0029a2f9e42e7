"""A store written by version 0.1.0: nothing is trained again, and its table has the same numbers under the same keys,
with the weight that a variant's own variance had then.

``store_0_1.tar.gz`` holds two recipes with the user's code beside them, their runs, and the tables that 0.1.0 printed
as JSON. In it are runs that finished, diverged, failed and had no effect, a stack, a joined variant, weights of another
variant, tracked metrics, ``reach`` and folds.
"""

from __future__ import annotations

import json
import math
import sys
import tarfile
from pathlib import Path

import pytest

from ablate.cli.app import run_command
from ablate.evidence import paired
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

ARCHIVE = Path(__file__).parent / "data" / "store_0_1.tar.gz"


@pytest.fixture
def old(tmp_path, monkeypatch):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(ours, theirs):
    """Whether two cells of a table agree: numbers to rounding, anything but sentences exactly."""
    if isinstance(theirs, float):
        return isinstance(ours, int | float) and math.isclose(ours, theirs, rel_tol=1e-12)
    return ours == theirs


@pytest.fixture
def before_the_mends(monkeypatch):
    """Without what has been mended since."""
    # the package has a function of the module's name
    monkeypatch.setattr(sys.modules["ablate.recipe.fingerprint"], "MENDS", ())


@pytest.mark.parametrize(
    ("study", "outdated"),
    [("old", {"own net", "nothing", "broken"}), ("old_folds", {"base", "dropout", "small batch"})],
)
def test_runs_with_custom_code_are_outdated_and_all_others_are_kept(old, study, outdated):
    plan = make_plan(Recipe.load(f"{study}.yaml"), Store(old / "runs"))
    assert {run.variant.name for run in plan.to_do()} == outdated


@pytest.fixture
def weight_of_then(monkeypatch):
    """The own variance has the same weight in all p-values, as in 0.1.0."""
    monkeypatch.setattr(paired, "RISE", 0.0)


@pytest.mark.usefixtures("before_the_mends", "weight_of_then")
@pytest.mark.parametrize("study", ["old", "old_folds"])
def test_nothing_of_it_is_trained_again(old, study, capsys):
    before = {path: path.read_bytes() for path in old.glob("runs/store/*/*")}
    code = run_command(["run", f"{study}.yaml", "--no-mlflow", "--format", "json"])
    table = json.loads(capsys.readouterr().out)
    assert code == (1 if study == "old" else 0)
    assert {path: path.read_bytes() for path in old.glob("runs/store/*/*")} == before
    expected = json.loads((old / f"{study}.table.json").read_text())
    correct_over_all_planned(expected["rows"])
    assert (table["study"], table["compare"]) == (expected["study"], {**table["compare"], **expected["compare"]})
    for ours, theirs in zip(table["rows"], expected["rows"], strict=True):
        assert theirs.keys() - ours.keys() == {"more_seeds"}
        assert len(ours["unlike"]) == len(theirs["unlike"])
        wrong = {key for key in theirs if key not in ("unlike", "more_seeds") and not same(ours[key], theirs[key])}
        assert not wrong, f"{theirs['variant']}: {[(key, ours[key], theirs[key]) for key in wrong]}"


def correct_over_all_planned(rows):
    """Holm's correction counts every variant with a parent; version 0.1 counted those that had a p-value."""
    planned = sum(row["from"] is not None for row in rows)
    ordered = sorted(row["p"] for row in rows if row["p"] is not None)
    for row in rows:
        if row["p"] is not None:
            steps = [(planned - i) * p for i, p in enumerate(ordered) if p <= row["p"]]
            row["p_adjusted"] = min(1.0, max(steps))


@pytest.mark.usefixtures("before_the_mends")
def test_its_runs_are_known_whatever_became_of_them(old):
    plan = make_plan(Recipe.load("old.yaml"), Store(old / "runs"))
    assert plan.to_do() == []
    states = {run.variant.name: run.record.status for run in plan.runs}
    assert states.pop("hot") == "diverged"
    assert states.pop("broken") == "failed"
    assert states.pop("nothing") == "no_effect"
    assert set(states.values()) == {"finished"}
