"""Rows that are built upon other rows: trained after them, known by them, judged on samples that none of them has
trained on.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from ablate.data.faces import POINTS
from ablate.execution.events import RunEnded
from ablate.execution.worker import train_job
from ablate.notes.note import Note
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe, RecipeError
from ablate.store.store import Store

EYES = ["left_eye_center", "right_eye_center"]
REST = [name for name in POINTS if name not in EYES]

RECIPE = f"""
study: transfer
data: {{name: facial_keypoints, path: faces.npz, size: 12, split_on: complete}}
metrics: [rmse_pixels]
seeds: 2
baseline:
  name: all
  model: {{name: mlp, hidden: [6]}}
  loss: mse
  optimizer: {{name: sgd, lr: 0.05, momentum: 0.9}}
  batch_size: 16
  epochs: 3
  checkpoint: {{every: 1 epoch}}
variants:
  - {{name: eyes, from: all, add: [flip, {{early_stop: {{patience: 50}}}}], set: {{data.columns: [{", ".join(EYES)}]}}}}
  - {{name: rest, from: all, set: {{data.columns: [{", ".join(REST)}]}}}}
  - {{name: eyes again, from: eyes, add: [{{from_weights: all}}]}}
  - {{name: both, from: all, joined: [eyes again, rest]}}
"""


@pytest.fixture
def folder(tmp_path: Path, write_faces) -> Path:
    write_faces(tmp_path, 60, lacking=True)
    return tmp_path


def read(folder: Path, text: str = RECIPE, **flags) -> Recipe:
    (folder / "transfer.yaml").write_text(text)
    return Recipe.load(folder / "transfer.yaml", **flags)


@pytest.fixture
def study(folder, stub_study):
    made = stub_study()
    made.recipe = read(folder)
    return made


def status(study, **flags) -> dict[str, list[str]]:
    plan = study.plan(read(study.recipe.folder, study.recipe.text, **flags))
    return {
        v.name: [run.record.status for run in plan.runs_of(v.name)]
        for v in (*plan.recipe.variants, *plan.recipe.needed)
    }


def weights(study, row: str, seed: int, which: str) -> dict[str, torch.Tensor]:
    run = next(run for run in study.plan().runs_of(row) if run.seed == seed)
    return torch.load(Store(study.root).run_folder(run.fingerprint) / f"{which}.pt", weights_only=True)


def record(study, row: str, seed: int = 0):
    return next(run.record for run in study.plan().runs_of(row) if run.seed == seed)


def test_sources_train_first_and_joined_rows_are_judged_last(study):
    ended = [(e.variant, e.seed) for e in study.command(training=train_job) if isinstance(e, RunEnded)]
    assert len(ended) == 10
    order = [row for row, _ in ended]
    assert order.index("eyes again") > max(i for i, row in enumerate(order) if row == "all")
    assert order.index("both") > max(i for i, row in enumerate(order) if row in ("eyes again", "rest"))
    left = ["output.weight", "output.bias"]
    values = {"source": "all", "taken": 2, "total": 4, "left": left, "more": 0}
    assert record(study, "eyes again").notes == (Note("initial_weights", values=values),)
    assert study.command(training=train_job) == []


def test_each_seed_begins_with_its_own_seeds_weights(study):
    text = study.recipe.text.replace(
        "add: [{from_weights: all}]", "add: [{from_weights: all}, {freeze: {layers: hidden1.*}}]"
    )
    study.recipe = read(study.recipe.folder, text)
    study.command(training=train_job)
    for seed in (0, 1):
        source, found = weights(study, "all", seed, "last"), weights(study, "eyes again", seed, "best")
        assert torch.equal(found["hidden1.weight"], source["hidden1.weight"])
        assert not torch.equal(found["hidden1.weight"], weights(study, "all", 1 - seed, "last")["hidden1.weight"])
        assert found["output.weight"].shape == (4, 6)


def test_what_is_built_upon_a_run_that_never_began_does_not_fail_for_good(study, faulty_disk, pulled):
    def training(job, report, state):
        if job.variant == "all":
            raise pulled
        train_job(job, report, state)

    study.command(job_disk=faulty_disk, training=training)
    assert {row: set(states) for row, states in status(study).items()} == {
        "all": {"interrupted"},
        "eyes": {"finished"},
        "rest": {"finished"},
        "eyes again": {"interrupted"},
        "both": {"interrupted"},
    }
    assert record(study, "both").reason.endswith("(status: interrupted)")
    study.command(training=train_job)
    assert {state for states in status(study).values() for state in states} == {"finished"}


def test_only_one_row_brings_what_it_is_built_upon(study):
    recipe = read(study.recipe.folder, only="eyes again")
    assert [v.name for v in recipe.needed] == ["all"]
    study.command(training=train_job, recipe=recipe)
    assert status(study) == {
        "all": ["finished"] * 2,
        "eyes": ["queued"] * 2,
        "rest": ["queued"] * 2,
        "eyes again": ["finished"] * 2,
        "both": ["queued"] * 2,
    }
    names = {row["variant"] for row in Store(study.root).study("transfer")["rows"]}
    assert names == {"eyes again", "all"}, "a source that no study names would be cleaned away"


def test_a_finished_row_does_not_ask_for_its_source_again(study):
    study.command(training=train_job, recipe=read(study.recipe.folder, only="eyes again"))
    for run in study.plan().runs_of("all"):
        Store(study.root).clear(run.fingerprint)
    plan = make_plan(read(study.recipe.folder, only="eyes again"), Store(study.root))
    assert plan.to_do() == []
    assert {run.variant.name for run in plan.to_do(fresh=True)} == {"eyes again", "all"}


def test_a_change_in_the_source_makes_what_is_built_upon_it_stale(folder, tmp_path):
    def identities(text):
        plan = make_plan(read(folder, text), Store(tmp_path / "runs"))
        return {run.variant.name: run.identity for run in plan.runs if run.seed == 0}

    before = identities(RECIPE)
    other = identities(RECIPE.replace("epochs: 3", "epochs: 4").replace("set: {data", "set: {epochs: 3, data"))
    assert before["eyes"] == other["eyes"]
    assert {row for row in before if before[row] != other[row]} == {"all", "eyes again", "both"}
    renamed = identities(
        RECIPE.replace("name: all", "name: net6")
        .replace("from: all", "from: net6")
        .replace("weights: all", "weights: net6")
    )
    assert set(renamed.values()) == set(before.values()), "names are no part of an identity"


def test_what_is_built_upon_a_failed_run_fails_with_its_name(study):
    def training(job, report, state):
        if job.variant == "all" and 1 in job.assignment.seeds:
            raise RuntimeError("the second law")
        return train_job(job, report, state)

    study.command(training=training, stack=1)
    assert status(study)["eyes again"] == ["finished", "failed"]
    assert record(study, "eyes again", 1).reason == "it is based on all, seed 1 (status: failed)"
    assert record(study, "both", 1).reason == "it is based on eyes again, seed 1 (status: failed)"
    study.command(training=train_job, retry_failed=True, stack=1)
    assert all(states == ["finished"] * 2 for states in status(study).values())


def test_the_joined_error_is_that_of_all_points_on_the_single_nets_faces(study):
    from ablate.data.load import load_parts
    from ablate.engine.construction import build_network

    study.command(training=train_job)
    data = load_parts(study.recipe.variant("all").settings.data, study.recipe.folder)
    inputs = data.valid.inputs.float() / 255
    errors = []
    for row, points, which in (("eyes again", EYES, "best"), ("rest", REST, "last")):
        settings = study.recipe.variant(row).settings
        network, _ = build_network(settings, settings.data.options.spec(), study.recipe.folder, (), None)
        network.load_state_dict(weights(study, row, 0, which))
        columns = [2 * POINTS.index(point) + axis for point in points for axis in (0, 1)]
        errors.append(network.eval()(inputs).detach() - data.valid.targets[:, columns])
    error = torch.cat(errors, dim=1)
    found = record(study, "both").results["selected"]
    assert error.shape == (len(data.valid), 30)
    assert found["rmse_pixels"] == pytest.approx(float(error.square().mean().sqrt()) * 48, rel=1e-5)
    assert found["valid_loss"] == pytest.approx(float(error.square().mean()), rel=1e-5)
    assert "train_loss" not in found
    assert record(study, "both").parameters == record(study, "eyes again").parameters + record(study, "rest").parameters


def test_a_metric_that_is_not_a_number_is_noted_of_a_joined_row(study):
    (study.recipe.folder / "undefined_metric.py").write_text(
        "def undefined(prediction, target): return prediction.sum() * float('nan')\n"
    )
    text = RECIPE.replace("metrics: [rmse_pixels]", "metrics: [rmse_pixels, {target: 'undefined_metric:undefined'}]")
    study.recipe = read(study.recipe.folder, text)
    study.command(training=train_job)
    both = record(study, "both")
    assert (both.status, both.reason) == ("finished", "")
    assert "rmse_pixels" in both.results["selected"]
    assert Note("not_finite", values={"metric": "undefined", "value": "nan", "at": "selected"}) in both.notes


def test_a_point_that_nobody_predicts_is_said(study):
    study.recipe = read(study.recipe.folder, RECIPE.replace("joined: [eyes again, rest]", "joined: [eyes, eyes again]"))
    study.command(training=train_job)
    assert record(study, "both").status == "failed"
    assert "left_eye_inner_corner_x" in record(study, "both").reason


def test_a_source_that_has_trained_on_the_validation_faces_is_refused(study):
    """Without split_on, eyes and nose of the same faces stand on different sides."""
    text = RECIPE.replace("data.columns: [left_eye_center", "data.split_on: kept, data.columns: [left_eye_center")
    study.recipe = read(study.recipe.folder, text.replace("joined: [eyes again", "joined: [eyes"))
    study.command(training=train_job)
    assert status(study)["both"] == status(study)["eyes again"] == ["failed"] * 2
    said = r"source \(=%s\) was trained on [1-9]\d* of the %d validation samples"
    assert re.search(said % ("eyes", 6), record(study, "both").reason)
    assert re.search(said % ("all", 12), record(study, "eyes again").reason)


def test_a_resumed_transfer_equals_the_undisturbed_one(folder, stub_study, pulled):
    whole, cut = stub_study("whole"), stub_study("cut")
    for one in (whole, cut):
        one.recipe = read(folder, RECIPE, only="eyes again")
    whole.command(training=train_job)

    def until_the_third_epoch(job, report, state):
        tell = report.epoch

        def epoch(replica, line):
            if job.variant == "eyes again" and line["epoch"] == 3:
                raise pulled
            tell(replica, line)

        report.epoch = epoch
        return train_job(job, report, state)

    with pytest.raises(pulled):
        cut.command(training=until_the_third_epoch)
    cut.command(training=train_job)
    log = Store(cut.root).run_folder(cut.plan().runs_of("eyes again")[0].fingerprint) / "log.txt"
    assert "after epoch 2 (seeds: 0, 1;" in log.read_text()
    for seed in (0, 1):
        for which in ("best", "last"):
            a, b = (weights(one, "eyes again", seed, which) for one in (whole, cut))
            assert all(torch.equal(a[name], b[name]) for name in a)
    assert record(cut, "eyes again").notes == record(whole, "eyes again").notes != ()


@pytest.mark.parametrize(
    ("old", "new", "where", "text"),
    [
        (
            "from_weights: all",
            "from_weights: al",
            "from_weights: ",
            "eyes again: source (=al) is not a variant of this recipe. Available: all, eyes, rest, both.",
        ),
        (
            "from_weights: all",
            "from_weights: both",
            "from_weights: ",
            "eyes again: source (=both) ",
        ),
        (
            "from_weights: all",
            "from_weights: eyes again",
            "from_weights: ",
            "eyes again → eyes again.",
        ),
        (
            "from_weights: all",
            "from_weights: gone.pt",
            "from_weights: ",
            "tricks.from_weights.source (=gone.pt) does not exist.",
        ),
        (
            "joined: [eyes again, rest]",
            "joined: [gone]",
            "joined: [",
            "both: joined (=gone) is not a variant of this recipe. Available: all, eyes, rest, eyes again.",
        ),
        ("joined: [eyes again, rest]", "joined: []", "joined", "joined must list at least one variant."),
        ("joined: [eyes again, rest]", "joined: [rest, rest]", "joined: [rest, ", "joined lists rest twice."),
        (
            "joined: [eyes again, rest]",
            "joined: [rest], set: {epochs: 2}",
            "joined: [rest], ",
            ".set cannot be used with 'joined'",
        ),
    ],
)
def test_what_cannot_be_built_upon_is_said_at_its_place(folder, old, new, where, text):
    written = RECIPE.replace(old, new)
    with pytest.raises(RecipeError) as error:
        read(folder, written)
    [problem] = error.value.problems
    assert text in str(problem)
    line = written.splitlines()[problem.position.line - 1]
    column = line.index(where) + (0 if where == "joined" else len(where)) + 1
    assert problem.position.column == column


def test_rows_that_start_from_each_other_are_a_circle(folder):
    text = RECIPE.replace("epochs: 3\n", "epochs: 3\n  add: [{from_weights: rest}]\n")
    with pytest.raises(RecipeError, match=r"source \(=\w+\) .*→ rest"):
        read(folder, text)
