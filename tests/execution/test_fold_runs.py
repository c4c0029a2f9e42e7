"""A study with folds: its plan, its jobs, its records, and one really trained."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ablate.api import RunOptions, run, table
from ablate.data.load import load_parts
from ablate.engine.training import train
from ablate.execution.events import RunEnded
from ablate.execution.run_recorder import peak_memory
from ablate.planning.changed import changed
from ablate.planning.plan import make_plan
from ablate.planning.study_file import named_runs
from ablate.recipe import Recipe
from ablate.store.store import Store


def test_a_run_is_a_seed_and_a_fold(stub_study):
    study = stub_study(more="folds: 4\n")
    plan = study.plan()
    assert [(run.seed, run.record.fold) for run in plan.runs] == [(s, f) for s in range(3) for f in range(4)]
    assert len({run.fingerprint for run in plan.runs}) == 12
    assert len(plan.to_do()) == 12


def test_seeds_of_a_fold_share_a_job_and_nothing_is_trained_twice(stub_study, stub):
    study, trainer = stub_study(more="folds: 4\n"), stub()
    events = study.command(training=trainer, stack=3)
    assert [len(names) for names in trainer.trained] == [3] * 4
    finished = [(event.seed, event.fold) for event in events if isinstance(event, RunEnded)]
    assert Counter(finished) == Counter((s, f) for s in range(3) for f in range(4))
    again = stub()
    study.command(training=again, stack=3)
    assert again.trained == []
    store = Store(study.root)
    assert set(named_runs(store.study("stub"))) == {run.fingerprint for run in study.plan().runs}
    assert set(store.study("stub")["rows"][0]["runs"]) == {f"{s}.{f}" for s in range(3) for f in range(4)}
    status = json.loads((store.run_folder(trainer.trained[2][1]) / "status.json").read_text())
    assert (status["seed"], status["fold"]) == (1, 2)
    assert "folds:" in (store.run_folder(trainer.trained[0][0]) / "settings.yaml").read_text()


def test_an_interrupted_stack_goes_on_in_its_fold(stub_study, stub, pulled):
    study = stub_study(more="folds: 2\n")

    def pull(seeds, epoch):
        if epoch == 2:
            raise pulled()

    with pytest.raises(pulled):
        study.command(training=stub(pull), stack=3)
    left = stub()
    study.command(training=left, stack=1)
    folds = {run.fingerprint: (run.seed, run.record.fold) for run in study.plan().runs}
    trained = [[folds[name] for name in names] for names in left.trained]
    assert [(s, 0) for s in range(3)] in trained
    assert sorted(one for names in trained for one in names) == sorted(folds.values())


def test_what_an_earlier_attempt_took_is_not_forgotten(stub_study, stub, pulled):
    study = stub_study()

    def pull(seeds, epoch):
        if epoch == 3:
            raise pulled()

    with pytest.raises(pulled):
        study.command(training=stub(pull), stack=3)
    store = Store(study.root)
    folder = store.run_folder(study.plan().runs[0].fingerprint)
    status = json.loads((folder / "status.json").read_text())
    store.write_json(folder / "status.json", {**status, "peak_memory": 10**15})
    study.command()
    assert {run.record.status for run in study.plan().runs} == {"finished"}
    assert study.plan().runs[0].record.peak_memory == 10**15


def test_other_folds_make_rows_stale(stub_study, tmp_path):
    study = stub_study(more="folds: 2\n")
    study.command()
    path = tmp_path / "runs.yaml"
    path.write_text(path.read_text().replace("folds: 2", "folds: 3"))
    plan = study.plan(Recipe.load(path))
    assert Counter(run.record.status for run in plan.runs) == {"stale": 6, "queued": 3}
    [note] = changed(plan, Store(study.root))
    assert note.kind == "stale"
    assert note.values["differences"] == [{"what": "setting", "name": "folds.k", "old": 2, "new": 3}]


TRAINED = """
study: crossed
data: {name: digits, test: 0.2}
seeds: 1
folds: 3
reach: {valid_loss: 5}
baseline:
  name: one
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 512
  epochs: 2
variants: [{name: two, add: [dropout]}]
"""


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """The recipe's path, the folder of its runs, and the table that training it gave."""
    path = tmp_path_factory.mktemp("crossed") / "crossed.yaml"
    path.write_text(TRAINED)
    return path, path.parent / "runs", run(path, root=path.parent / "runs", options=RunOptions(jobs=1, device="cpu"))


def test_a_study_with_folds_from_recipe_to_table(crossed):
    path, root, made = crossed
    one, two = made.rows
    assert (one.status, one.seeds, one.folds, one.tally.planned) == ("finished", 1, 3, 3)
    assert two.verdict is not None
    assert two.ci_low < two.delta_parent < two.ci_high
    assert one.reached["reach_valid_loss_epochs"] == 1.0
    assert one.reached["reach_valid_loss_runs"] == 3
    assert one.reached["reach_valid_loss_seconds"] > 0
    assert one.steps == 2 * 2
    assert 50e6 < one.peak_memory < 50e9
    assert one.metrics["test_loss"] > 0
    assert table(path, root=root) == made
    plan = make_plan(Recipe.load(path), Store(root))
    firsts = [run.record.first_loss for run in plan.runs_of("one")]
    assert len(set(firsts)) == 3
    assert "no_effect_at_first" not in [note.kind for note in two.notes]


def test_a_fold_is_trained_on_its_own_samples(crossed, heard):
    """What the store has of a fold is what the engine makes of that fold's data."""
    from ablate.engine.contract import Assignment

    path, root, _ = crossed
    recipe = Recipe.load(path)
    planned = make_plan(recipe, Store(root)).runs_of("one")[2]
    settings = planned.variant.settings

    data = load_parts(settings.data, recipe.folder, recipe.folds, 2)
    [outcome] = train(Assignment(settings, (0,), recipe.folder, fold=2, folds=recipe.folds), data, heard())
    assert outcome.results["selected"]["valid_loss"] == planned.record.results["selected"]["valid_loss"]


def test_who_asks_about_folds_is_told_which(stub_study):
    from ablate import api
    from ablate.planning.run_status import watch
    from ablate.tracking import describe

    study = stub_study(more="folds: 2\n")
    study.command()
    plan, store = study.plan(), Store(study.root)
    record = plan.record()
    described = [describe.of_seed(record, record.rows[0], run, store) for run in record.rows[0].runs]
    assert [one.name for one in described[:3]] == [
        "one · seed 0 · fold 0",
        "one · seed 0 · fold 1",
        "one · seed 1 · fold 0",
    ]
    assert [one.params["fold"] for one in described[:2]] == ["0", "1"]
    assert describe.of_study(record, store).tags["ablate.folds"] == "2"
    with pytest.raises(ValueError, match=r"fold \(=2\) must be between 0 and 1"):
        api.load(study.recipe, "one", 0, fold=2, root=study.root)
    status = store.run_folder(plan.runs[1].fingerprint) / "status.json"
    store.write_json(status, {**json.loads(status.read_text()), "status": "failed", "reason": "the second law"})
    [row] = watch(study.plan(), store)
    assert row.reasons == ("seed 0, fold 1: failed: the second law",)


def test_the_network_of_each_fold_can_be_had(crossed):
    from ablate.api import load

    path, root, _ = crossed
    networks = [load(path, "one", fold=fold, root=root) for fold in range(2)]
    weights = [next(network.parameters()) for network in networks]
    assert not weights[0].equal(weights[1])


def test_peak_memory_is_of_this_process_and_in_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    # a process that was started by a larger one takes over its peak
    assert 0.99 * kilobytes <= peak_memory("cpu") / 1024 < 20 * kilobytes
