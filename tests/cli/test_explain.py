"""``ablate explain`` on trainings whose fault is known, of digits and of real faces."""

from __future__ import annotations

import json
import re
from collections import namedtuple

import pytest

from ablate.cli.app import COMMANDS, run_command
from ablate.registry import entries
from ablate.report.diagnosis import ADVICE, SHORT

DIGITS = """
study: digits
data: {name: digits, limit: 300}
seeds: 2
baseline:
  name: plain
  model: {name: mlp, hidden: [16]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.2}
  epochs: 20
variants:
  - {name: asleep, from: plain, set: {optimizer.lr: 1.0e-9}}
  - {name: wild, from: plain, set: {optimizer.lr: 1.0e+30}}
  - {name: slow, from: plain, set: {optimizer.lr: 0.01}}
  - {name: few, from: plain, set: {data.limit: 60, epochs: 60}}
"""

FACES = """
study: faces
data: {name: facial_keypoints, path: %s, size: 16, limit: 300}
seeds: 2
compare: {metric: valid_loss}
baseline:
  name: plain
  model: {name: mlp, hidden: [32]}
  loss: mse
  optimizer: {name: adam, lr: 0.003}
  batch_size: 16
  epochs: 10
  add: [standardise]
variants:
  - {name: asleep, from: plain, set: {optimizer.lr: 1.0e-9}}
  - {name: wild, from: plain, set: {optimizer: {name: sgd, lr: 1.0e+4}}}
  - {name: slow, from: plain, set: {optimizer.lr: 0.0002}}
"""

Done = namedtuple("Done", "code out err")


@pytest.fixture
def ablate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        code = run_command([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return run


def kinds(ablate, name):
    done = ablate("explain", name, "--json")
    assert done.code == 0
    return {one["variant"]: [finding["kind"] for finding in one["findings"]] for one in json.loads(done.out)}


def test_faults_of_digits_are_found(tmp_path, ablate):
    (tmp_path / "r.yaml").write_text(DIGITS)
    assert ablate("explain", "r.yaml").out.splitlines()[0] == "plain has no verdict yet: not started."
    ablate("run", "r.yaml", "--no-mlflow")
    found = kinds(ablate, "r.yaml")
    assert found["asleep"] == ["learned_nothing"]
    assert found["wild"] == ["diverged_at"]
    assert "not_converged" in found["slow"]
    assert {"overfits", "gap"} & set(found["few"])
    text = ablate("explain", "r.yaml").out
    assert re.search(r"\n- Learned nothing: the training loss \(2\.\d+\) is not clearly lower than", text)
    assert text.count("- Learned nothing: `ablate check`") == 1
    one = ablate("explain", "r.yaml", "wild").out
    assert one.startswith("wild is unstable: 2/2 diverged.\n- Diverged at epoch 1.\n")
    assert "asleep" not in one
    table = ablate("table", "r.yaml", "--columns", "variant,diagnosis").out
    assert re.search(r"^asleep +learned nothing$", table, re.MULTILINE)
    assert "diagnosis" not in ablate("table", "r.yaml", "--format", "csv").out


def test_faults_of_real_faces_are_found(tmp_path, ablate, faces):
    (tmp_path / "r.yaml").write_text(FACES % faces)
    ablate("run", "r.yaml", "--no-mlflow")
    found = kinds(ablate, "r.yaml")
    assert found["asleep"] == ["learned_nothing"]
    assert found["wild"] == ["diverged_at"]
    assert "not_converged" in found["slow"]
    assert not {"learned_nothing", "diverging", "underfits"} & set(found["plain"])


def test_an_unknown_variant_is_refused(tmp_path, ablate):
    (tmp_path / "r.yaml").write_text(DIGITS)
    done = ablate("explain", "r.yaml", "slw")
    assert done.code == 2
    assert done.err.startswith("VARIANT (=slw) is not defined in r.yaml.")
    assert done.err.count("\n") == 1


def test_the_advice_names_what_there_is():
    assert ADVICE.keys() == SHORT.keys()
    names = {entry.name for entry in entries()} | {f"ablate {name}" for name in COMMANDS} | {"folds"}
    for text in ADVICE.values():
        assert set(re.findall("`([^`]*)`", text)) <= names
