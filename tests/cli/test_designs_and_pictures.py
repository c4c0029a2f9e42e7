"""Designs and pictures as users ask for them: what is trained once is not trained again, and every picture is a file."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import namedtuple
from pathlib import Path

import pytest

from ablate.cli.app import run_command

DATA = """
import torch
from torch.utils.data import TensorDataset

def load(n=48):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) > 0.5).long()
    return TensorDataset(x, y), TensorDataset(x[:16], y[:16])
"""

RECIPE = """
study: tricks
data: {target: pictures:load}
metrics: [accuracy]
seeds: 2
baseline:
  name: plain
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 16
  epochs: 2
tricks:
  smaller steps: {set: {optimizer.lr: 0.05}}
design: {ladder: [flip, {dropout: 0.2}, {weight_decay: 0.01}, smaller steps]}
"""

Done = namedtuple("Done", "returncode stdout stderr")

DESIGNS = ("ladder", "leave-one-out", "one-at-a-time")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tricks")
    (folder / "pictures.py").write_text(DATA)
    (folder / "r.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def ablate(folder, monkeypatch, capsys):
    """A command, in this process: pictures need their library once."""
    monkeypatch.chdir(folder)

    def run(*words):
        capsys.readouterr()
        code = run_command([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def trained(folder):
    """How many runs each design trained, one after the other."""
    counts, known = [], 0
    for design in DESIGNS:
        command = [sys.executable, "-m", "ablate", "run", "r.yaml", "--design", design, "--no-mlflow"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        runs = [path for path in (folder / "runs" / "store").iterdir() if (path / "status.json").exists()]
        counts.append(len(runs) - known)
        known = len(runs)
    return counts


def test_each_distinct_combination_is_trained_once(trained):
    """Per seed, of four tricks: 5 rungs; then the full stack less one of the first three; then the last three alone."""
    assert trained == [2 * 5, 2 * 3, 2 * 3]


def test_the_plan_says_what_each_design_adds(trained, ablate):
    said = {one["design"]: one for one in json.loads(ablate("plan", "r.yaml", "--designs", "--json").stdout)}
    assert {name: one["to_train"] for name, one in said.items()} == {
        "ladder": 0, "leave-one-out": 0, "one-at-a-time": 0, "pairs": 10, "both-ends": 0,
        "factorial": 10, "screen": 10, "screen-foldover": 10, "greedy": 11 * 3 + 5 * 2, "together": 10,
    }  # fmt: skip
    assert (said["together"]["rows"], said["together"]["runs"]) == (5 + 6 + 5 + 11 + 10 + 16 + 8 + 8, 2 * (11 + 5))
    shown = ablate("plan", "r.yaml", "--designs")
    assert shown.stdout.splitlines()[-1].split()[-3:] == ["69", "32", "10"]
    plan = ablate("plan", "r.yaml", "--design", "pairs", "--quick")
    assert "10 runs to train" in plan.stdout


def test_every_design_has_a_table_of_its_own(trained, ablate):
    for design, names in {
        "ladder": ["plain", "flip", "dropout", "weight_decay", "smaller steps"],
        "leave-one-out": ["plain", "full"]
        + [f"without {t}" for t in ("flip", "dropout", "weight_decay", "smaller steps")],
        "one-at-a-time": ["plain"] + [f"only {t}" for t in ("flip", "dropout", "weight_decay", "smaller steps")],
    }.items():
        done = ablate("table", "r.yaml", "--design", design, "--format", "json")
        rows = json.loads(done.stdout)["rows"]
        assert [row["variant"] for row in rows] == names
        assert {row["status"] for row in rows} == {"finished"}
    ladder = json.loads(ablate("table", "r.yaml", "--format", "json").stdout)["rows"]
    full = json.loads(ablate("table", "r.yaml", "--design", "leave-one-out", "--format", "json").stdout)["rows"][1]
    assert ladder[-1]["valid_loss"] == full["valid_loss"]


@pytest.mark.parametrize("kind", ["curves", "ladder", "effects"])
def test_pictures_are_written_in_every_format(trained, ablate, folder, kind):
    for suffix, magic in {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}.items():
        done = ablate("plot", "r.yaml", "--kind", kind, "-o", f"{kind}.{suffix}")
        assert done.returncode == 0, done.stderr
        assert (folder / f"{kind}.{suffix}").read_bytes().startswith(magic)
    ElementTree.parse(folder / f"{kind}.svg")


def test_flags_choose_what_is_drawn(trained, ablate, folder):
    assert ablate("plot", "r.yaml", "-o", "a.svg").returncode == 0
    for i, flags in enumerate(
        [
            ["--metric", "accuracy"],
            ["--log"],
            ["--only", "plain,flip"],
            ["--seeds", "1"],
            ["--design", "leave-one-out"],
        ]
    ):
        done = ablate("plot", "r.yaml", "-o", f"b{i}.svg", *flags)
        assert done.returncode == 0, done.stderr
        assert (folder / f"b{i}.svg").read_bytes() != (folder / "a.svg").read_bytes()
    assert ablate("plot", "r.yaml", "--kind", "effects", "--metric", "accuracy", "-o", "c.svg").returncode == 0


WRONG = {
    "kind": (
        ["--kind", "lader", "-o", "x.svg"],
        "--kind (=lader) must be one of curves, ladder, effects, predictions. Did you mean 'ladder'?",
    ),
    "suffix": (["-o", "x.jpg"], "--output (=x.jpg) must end in one of .png, .svg, .pdf."),
    "metric of curves": (["--metric", "acuracy", "-o", "x.svg"], "Did you mean 'accuracy'?"),
    "metric of effects": (["--kind", "effects", "--metric", "acuracy", "-o", "x.svg"], "Did you mean 'accuracy'?"),
    "folder": (["-o", "nowhere/x.svg"], "nowhere"),
    "scale of a ladder": (["--kind", "ladder", "--log", "-o", "x.svg"], "--log requires --kind curves"),
    "nothing trained": (["--runs", "elsewhere", "-o", "x.svg"], "tricks has no curves"),
    "row": (["--only", "flop", "-o", "x.svg"], "plain, flip, dropout"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(trained, ablate, folder, case):
    flags, hint = WRONG[case]
    done = ablate("plot", "r.yaml", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.strip().splitlines()
    assert hint in line
    assert not (folder / "x.svg").exists()


def test_designs_and_a_design_are_not_asked_for_at_once(ablate):
    done = ablate("plan", "r.yaml", "--designs", "--design", "pairs")
    assert done.returncode == 2
    assert "--designs cannot be combined" in done.stderr


def test_rows_that_a_design_leaves_out_are_said_on_stderr(ablate):
    done = ablate("plan", Path(__file__).parents[2] / "recipes" / "digits.yaml", "--design", "one-at-a-time", "--quick")
    assert done.returncode == 0
    assert "only net5 (same as only net3)" in done.stderr
    assert "only net5" not in done.stdout
