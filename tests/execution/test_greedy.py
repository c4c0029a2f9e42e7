"""Studies of the design greedy: a path is chosen on reserved seeds, and judged on others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ablate import api
from ablate.cli.app import run_command
from ablate.execution.run_options import RunOptions
from ablate.planning.cleaning import find_spare
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

DIGITS = """
study: digits
data: digits
metrics: [accuracy]
seeds: 2
compare: {metric: accuracy}
baseline:
  name: plain
  model: {name: mlp, hidden: [32]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.03, momentum: 0}
  epochs: 2
tricks:
  momentum: {set: {optimizer.momentum: 0.9}}
  wider: {set: {model.hidden: [64]}}
design: {greedy: [{dropout: 0.9}, momentum, wider], seeds: 2}
"""

CODE = """
def main(run, a=0, b=0, c=0, slow=0.0, fails=0):
    import time
    time.sleep(slow)
    if fails:
        raise ValueError("no data")
    noise = (run.seed % 7) / 100
    value = 1 - 0.3 * a - 0.2 * b - 0.1 * c + 0.25 * a * b + noise
    run.log(epoch=1, train_loss=value, valid_loss=value)
"""
OWN = """
study: own
trainer: {target: "own:main"}
seeds: 2
baseline: {name: base}
tricks:
  a: {set: {args.a: 1}}
  b: {set: {args.b: 1}}
  c: {set: {args.c: 1}}
design: {greedy: [c, b, a], seeds: 1}
"""
"""Alone, a gains 0.3, b 0.2 and c 0.1; with a, c gains 0.1 and b loses 0.05."""


def statuses(root):
    return {path.parent.name: json.loads(path.read_text()) for path in (root / "store").glob("*/status.json")}


def reserved(root):
    return [one for one in statuses(root).values() if one["seed"] >= 1_000_000]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    path = folder / "digits.yaml"
    path.write_text(DIGITS)
    return path, folder / "runs", api.run(path, root=folder / "runs")


@pytest.fixture
def own(tmp_path):
    """A study whose losses are known by hand, with text in its recipe replaced."""
    (tmp_path / "own.py").write_text(CODE)

    def write(old="", new=""):
        path = tmp_path / "own.yaml"
        path.write_text(OWN.replace(old, new) if old else OWN)
        return path, tmp_path / "runs"

    return write


def test_the_path_is_that_of_means_computed_from_the_files(digits):
    """The combinations are known by their settings; every number is read from the files of the runs."""
    _, root, table = digits
    store, found = Store(root), {}
    for name, one in statuses(root).items():
        settings = store.identity(name)["settings"]
        on = {
            trick
            for trick, has in {
                "dropout": bool(settings.get("tricks")),
                "momentum": settings["optimizer"]["momentum"] == 0.9,
                "wider": settings["model"]["hidden"] == [64],
            }.items()
            if has
        }
        found.setdefault(frozenset(on), {})[one["seed"]] = one["results"]["selected"]["accuracy"]

    def mean(tricks):
        return np.mean([found[frozenset(tricks)][seed] for seed in (1_000_000, 1_000_001)])

    path, steps = [], []
    while left := [trick for trick in ("dropout", "momentum", "wider") if trick not in path]:
        gains = {trick: mean([*path, trick]) - mean(path) for trick in left}
        steps.append(gains)
        best = max(left, key=gains.get)
        if gains[best] <= 0:
            break
        path.append(best)
    assert len(path) >= 1
    assert "dropout" not in path[:2]
    assert [row.variant for row in table.rows] == ["plain", *(f"+ {trick}" for trick in path)]
    assert [row.parent for row in table.rows] == [None, *(row.variant for row in table.rows[:-1])]
    for step, gains in zip(table.path.steps, steps, strict=True):
        assert step.gains == pytest.approx(gains, abs=1e-12)
    deltas = [
        np.mean([found[frozenset(path[:i])][s] - found[frozenset(path[: i - 1])][s] for s in (0, 1)]) for i in (1, 2)
    ]
    assert [row.delta_parent for row in table.rows[1:3]] == pytest.approx(deltas[: len(path)], abs=1e-9)


def test_the_cost_is_that_of_the_runs_on_reserved_seeds(digits):
    _, root, table = digits
    runs = reserved(root)
    assert table.path.seeds == (1_000_000, 1_000_001)
    assert table.path.device_seconds == pytest.approx(sum(one["device_seconds"] for one in runs))
    assert table.path.candidates * 2 == len(runs)
    assert table.path.complete
    others = [one for one in statuses(root).values() if one["seed"] < 1_000_000]
    assert sum(row.total_device_seconds for row in table.rows) == pytest.approx(
        sum(r["device_seconds"] for r in others)
    )
    assert {row.seeds for row in table.rows} == {2}


def test_the_same_command_trains_nothing_and_shows_the_same_path(digits):
    path, root, table = digits
    before = statuses(root)
    assert make_plan(Recipe.load(path), Store(root)).to_do() == []
    again = api.run(path, root=root)
    assert statuses(root) == before
    assert again.path == table.path
    assert api.table(path, root=root).path == table.path


def test_clean_keeps_candidates_and_the_path(digits):
    path, root, table = digits
    store = Store(root)
    assert find_spare(store) == find_spare(store, Recipe.load(path)) == []
    trials = store.study("digits")["trials"]
    assert len(trials) == table.path.candidates
    assert [one["variant"] for one in trials if one["chosen"]] == [row.variant for row in table.rows]
    other = path.with_name("fewer.yaml")
    other.write_text(DIGITS.replace("{dropout: 0.9}, ", ""))
    spare = {one.run for one in find_spare(store, Recipe.load(other))}
    dropout = [one for one in trials if one["variant"] == "+ dropout"]
    assert dropout
    assert spare >= {name for one in dropout for name in one["runs"].values()}


def test_other_seeds_and_another_metric_of_the_table_keep_the_path(digits):
    path, root, table = digits
    names = [row.variant for row in table.rows]
    more = make_plan(Recipe.load(path, seeds=3), Store(root))
    assert [(run.variant.name, run.seed) for run in more.to_do()] == [(name, 2) for name in names]
    by_loss = make_plan(Recipe.load(path, sets=["compare.metric=valid_loss"]), Store(root))
    assert [variant.name for variant in by_loss.recipe.variants] == names
    assert by_loss.to_do() == []
    assert make_plan(Recipe.load(path, sets=["epochs=3"]), Store(root)).waiting


def test_other_designs_share_the_judged_runs(digits):
    path, root, table = digits
    alone = make_plan(Recipe.load(path, design="one-at-a-time"), Store(root))
    first = table.rows[1].variant.removeprefix("+ ")
    left = {"dropout", "momentum", "wider"} - {first}
    assert {run.variant.name for run in alone.to_do()} == {f"only {trick}" for trick in left}


def test_a_path_known_by_hand(own):
    path, root = own()
    table = api.run(path, root=root)
    assert [row.variant for row in table.rows] == ["base", "+ a", "+ c"]
    assert [step.kept for step in table.path.steps] == ["a", "c", None]
    assert table.path.steps[0].gains == pytest.approx({"c": 0.1, "b": 0.2, "a": 0.3})
    assert table.path.steps[1].gains == pytest.approx({"c": 0.1, "b": -0.05})
    assert table.path.steps[2].gains == pytest.approx({"b": -0.05})
    assert [row.delta_parent for row in table.rows[1:]] == pytest.approx([-0.3, -0.1])
    assert len(reserved(root)) == 7


def test_all_tricks_and_none(own):
    path, root = own("[c, b, a]", "[c, a]")
    table = api.run(path, root=root)
    assert [row.variant for row in table.rows] == ["base", "+ a", "+ c"]
    assert [step.kept for step in table.path.steps] == ["a", "c"]
    path, root = own("{args.a: 1}", "{args.a: -1}")
    path.write_text(path.read_text().replace("args.b: 1", "args.b: -1").replace("[c, b, a]", "[b, a]"))
    table = api.run(path, root=root)
    assert [(row.variant, row.status, row.seeds) for row in table.rows] == [("base", "finished", 2)]
    assert table.path.complete
    assert [step.kept for step in table.path.steps] == [None]


def test_of_equal_gains_the_first_trick_is_kept(own):
    for tricks, names in {"[a, c]": ["base", "+ a", "+ c"], "[c, a]": ["base", "+ c", "+ a"]}.items():
        path, root = own("args.c: 1", "args.c: 3")
        path.write_text(path.read_text().replace("[c, b, a]", tricks))
        assert [row.variant for row in api.run(path, root=root).rows] == names


def test_a_candidate_that_fails_is_not_kept(own):
    path, root = own("args.a: 1", "args.fails: 1")
    table = api.run(path, root=root)
    assert [row.variant for row in table.rows] == ["base", "+ b", "+ c"]
    assert [step.gains["a"] for step in table.path.steps] == [None, None, None]
    assert {row.status for row in table.rows} == {"finished"}


def test_without_a_result_of_the_baseline_no_trick_is_kept(own):
    path, root = own("base}", "base, args: {fails: 1}}")
    table = api.run(path, root=root)
    assert [(row.variant, row.status) for row in table.rows] == [("base", "failed")]
    assert table.path.complete
    assert set(table.path.steps[0].gains.values()) == {None}


def test_until_the_path_is_chosen_the_other_runs_wait(own):
    path, root = own()
    plan = make_plan(Recipe.load(path), Store(root))
    assert plan.waiting
    assert [variant.name for variant in plan.recipe.variants] == ["base"]
    assert len(plan.search.missing()) == len(plan.search.now) == 4
    table = api.table(path, root=root)
    assert [(row.variant, row.status) for row in table.rows] == [("base", "queued")]
    assert not table.path.complete


def test_a_kill_in_the_second_step_resumes_without_training_any_run_again(own):
    path, root = own("base}", "base, args: {slow: 0.2}}")
    command = [sys.executable, "-m", "ablate", "run", str(path), "--runs", str(root), "--no-mlflow", "--jobs", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        for line in process.stderr:
            if "(step 2) seed 1000000: finished" in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
    before = {name: one for name, one in statuses(root).items() if one["status"] == "finished"}
    assert 4 < len(before) < 7
    assert all(one["seed"] >= 1_000_000 for one in before.values())
    table = api.run(path, root=root)
    after = statuses(root)
    assert {name: after[name] for name in before} == before
    assert [row.variant for row in table.rows] == ["base", "+ a", "+ c"]
    assert len(reserved(root)) == 7
    assert all(one["attempt"] == 1 for name, one in after.items() if name in before)


def test_fresh_trains_all_candidates_again(own):
    path, root = own("[c, b, a]", "[c, a]")
    first = api.run(path, root=root)
    before = statuses(root)
    table = api.run(path, root=root, options=RunOptions(fresh=True))
    after = statuses(root)
    assert after.keys() == before.keys()
    assert {one["attempt"] for one in after.values()} == {2}
    assert table.path.steps == first.path.steps


def test_looks_and_folds(tmp_path):
    path = tmp_path / "looks.yaml"
    text = DIGITS.replace("seeds: 2\n", "seeds: {looks: [3, 4], until: decided}\nfolds: 2\n").replace(", wider", "")
    path.write_text(text.replace("seeds: 2}", "seeds: 1}"))
    table = api.run(path, root=tmp_path / "runs")
    assert [row.variant for row in table.rows][:2] == ["plain", "+ momentum"]
    assert {row.status for row in table.rows} == {"finished"}
    assert table.rows[1].look is not None
    assert table.rows[1].folds == 2
    assert len(reserved(tmp_path / "runs")) == table.path.candidates * 2


def test_what_the_commands_say(own, capsys, monkeypatch):
    path, root = own()
    monkeypatch.chdir(path.parent)

    def said(*words):
        code = run_command([*words, "--runs", str(root)])
        out, err = capsys.readouterr()
        return code, out, err

    code, out, err = said("plan", "own.yaml", "--quick")
    assert code == 0
    assert "+ a (step 1)" in out
    assert "4 runs to train" in out
    assert "4 runs in step 1, at most 7 in all 3 steps (7 candidates × 1 seed), then at most 8 runs" in err
    *_, line = [line for line in said("plan", "own.yaml", "--designs")[1].splitlines() if line.startswith("greedy")]
    assert line.split()[-3:] == ["4", "15", "15"]
    assert "The path is not complete" in said("table", "own.yaml")[1]
    code, out, err = said("run", "own.yaml", "--no-mlflow", "--notes")
    assert code == 0
    steps = [
        "Step 1, mean gain in valid_loss: c +0.1, b +0.2, a +0.3 (kept).",
        "Step 2, mean gain in valid_loss: c +0.1 (kept), b -0.05.",
        "Step 3, mean gain in valid_loss: b -0.05; none is kept.",
    ]
    assert [line for line in err.splitlines() if line.startswith("Step")] == steps
    assert [line for line in out.splitlines() if line.startswith("Step")] == steps
    assert "Path: base → + a → + c. None of the others improved valid_loss (b)." in err
    assert "The path was chosen on seed 1000000 (7 candidates × 1, " in out
    assert "verdicts use other seeds" in out
    code, out, err = said("run", "own.yaml", "--no-mlflow")
    assert "Step" not in err
    assert "0 to train" in err
    code, out, err = said("plan", "own.yaml", "--quick")
    assert [line for line in err.splitlines() if line.startswith("Step")] == steps
    assert "0 runs to train" in out
    tree = json.loads(said("table", "own.yaml", "--format", "json")[1])
    assert tree["path"]["steps"][1]["kept"] == "c"
    assert tree["path"]["steps"][1]["gains"]["b"] == pytest.approx(-0.05)
    assert (tree["path"]["seeds"], tree["path"]["complete"]) == ([1_000_000], True)
