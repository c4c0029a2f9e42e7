"""Studies that tune: the candidates are trained first, and the best settings are judged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from ablate import api
from ablate.planning.cleaning import find_spare
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

RECIPE = """
study: opt
data: digits
metrics: [accuracy]
seeds: 2
compare: {metric: accuracy}
TUNE
baseline:
  name: sgd
  model: {name: mlp, hidden: [32]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.03, momentum: 0.9}
  epochs: 2
variants:
  - {name: adam, set: {optimizer: {name: adam, lr: 0.00003}}}
"""
TUNE = "tune: {optimizer.lr: {times: [1/40, 1, 40]}, seeds: 1}"


def written(folder, tune=TUNE, name="opt.yaml", old="", new=""):
    path = folder / name
    path.write_text(RECIPE.replace("TUNE", tune).replace(old, new) if old else RECIPE.replace("TUNE", tune))
    return path


def statuses(root):
    return {path.parent.name: json.loads(path.read_text()) for path in (root / "store").glob("*/status.json")}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    path = written(folder)
    return path, folder / "runs", api.run(path, root=folder / "runs")


def test_two_optimizers_come_into_the_right_order(tuned, tmp_path):
    by_name = {row.variant: row for row in tuned[2].rows}
    assert by_name["adam"].delta_parent > 0
    plain = {row.variant: row for row in api.run(written(tmp_path, ""), root=tmp_path / "runs").rows}
    assert plain["adam"].delta_parent < 0
    assert plain["adam"].tried is None
    assert by_name["adam"].chosen["optimizer.lr"] > 0.0003
    assert {row.tried for row in by_name.values()} == {4} or {row.tried for row in by_name.values()} == {5}


def test_the_cost_is_that_of_all_stored_runs(tuned):
    _, root, table = tuned
    runs = statuses(root).values()
    reserved = [one["device_seconds"] for one in runs if one["seed"] >= 1_000_000]
    assert sum(row.total_device_seconds for row in table.rows) == pytest.approx(sum(r["device_seconds"] for r in runs))
    assert sum(row.tuning_device_seconds for row in table.rows) == pytest.approx(sum(reserved))
    assert len(reserved) == sum(row.tried * row.tried_seeds for row in table.rows)
    assert [row.seeds for row in table.rows] == [2, 2]


def test_the_chosen_settings_written_by_hand_share_the_runs(tuned, tmp_path):
    path, root, table = tuned
    chosen = {row.variant: row.chosen["optimizer.lr"] for row in table.rows}
    hand = path.with_name("hand.yaml")
    text = (
        RECIPE.replace("TUNE", "").replace("0.00003", str(chosen["adam"])).replace("lr: 0.03", f"lr: {chosen['sgd']}")
    )
    hand.write_text(text)
    plan = make_plan(Recipe.load(hand), Store(root))
    assert plan.to_do() == []


def test_clean_keeps_candidates_and_status_names_what_was_chosen(tuned):
    path, root, table = tuned
    store = Store(root)
    assert find_spare(store) == find_spare(store, Recipe.load(path)) == []
    trials = store.study("opt")["trials"]
    assert {(one["variant"], one["values"]["optimizer.lr"]) for one in trials if one["chosen"]} == {
        (row.variant, row.chosen["optimizer.lr"]) for row in table.rows
    }
    assert {name for one in trials for name in one["runs"].values()} < set(statuses(root))


def test_another_metric_of_the_table_changes_no_choice(tuned):
    path, root, table = tuned
    plan = make_plan(Recipe.load(path, sets=["compare.metric=valid_loss"]), Store(root))
    assert not plan.waiting
    assert [one.values for one in plan.search.tuned.values()] == [row.chosen for row in table.rows]


def test_some_variants_alone_and_more_seeds_keep_the_choice(tuned):
    path, root, _ = tuned
    whole = make_plan(Recipe.load(path, seeds=3), Store(root))
    assert [(run.variant.name, run.seed) for run in whole.to_do()] == [("sgd", 2), ("adam", 2)]
    alone = make_plan(Recipe.load(path, only="adam"), Store(root))
    assert alone.to_do() == []
    assert not alone.waiting


def test_an_unequal_search_is_marked(tuned, tmp_path):
    path, stored, _ = tuned
    root = shutil.copytree(stored, tmp_path / "runs")  # the other tests count the runs of theirs, in any order
    fixed = path.with_name("fixed.yaml")
    fixed.write_text(path.read_text() + "  - {name: big, from: sgd, tune: off, set: {batch_size: 128}}\n")
    rows = {row.variant: row for row in api.run(fixed, root=root).rows}
    assert [note.kind for note in rows["big"].unlike] == ["other_search"]
    assert rows["big"].unlike[0].values["own"].startswith("not tuned, at the parent's optimizer.lr = ")
    assert rows["adam"].unlike == ()


def test_until_the_choice_is_made_the_other_runs_wait(tmp_path):
    root = tmp_path / "runs"
    api.run(written(tmp_path, ""), root=root)
    plan = make_plan(Recipe.load(written(tmp_path)), Store(root))
    assert plan.waiting
    assert {run.record.status for run in plan.runs} == {"queued"}
    assert len(plan.search.missing()) == 6


def test_a_kill_while_candidates_train_resumes_without_training_any_again(tmp_path):
    path, root = written(tmp_path), tmp_path / "runs"
    command = [sys.executable, "-m", "ablate", "run", str(path), "--runs", str(root), "--no-mlflow", "--jobs", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        for line in process.stderr:
            if "1000000: finished" in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
    before = {name: one for name, one in statuses(root).items() if one["status"] == "finished"}
    assert before
    assert all(one["seed"] >= 1_000_000 for one in before.values())
    table = api.run(path, root=root)
    after = statuses(root)
    assert {name: after[name] for name in before} == before
    assert [row.status for row in table.rows] == ["finished", "finished"]


def test_a_candidate_that_diverges_is_not_chosen(tmp_path):
    tune = "tune: {optimizer.lr: {times: [1, 1.0e+38]}, seeds: 1}"
    table = api.run(written(tmp_path, tune, old="seeds: 2", new="seeds: 1"), root=tmp_path / "runs")
    assert [row.status for row in table.rows] == ["finished", "finished"]
    assert any(one["status"] == "diverged" for one in statuses(tmp_path / "runs").values())


def test_looks_and_folds(tmp_path):
    text = written(tmp_path).read_text().replace("seeds: 2", "seeds: {looks: [3, 4], until: decided}\nfolds: 2")
    path = tmp_path / "looks.yaml"
    path.write_text(text.replace("[1/40, 1, 40]", "[1, 30]"))
    table = api.run(path, root=tmp_path / "runs")
    assert [row.status for row in table.rows] == ["finished", "finished"]
    assert table.rows[1].look is not None
    assert table.rows[0].folds == 2
