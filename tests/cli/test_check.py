"""``ablate check``, and the quick checks at the beginning of ``ablate run``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NET = """
import torch
from torch import nn
from ablate.checks.check import Check, Finding

class Net(nn.Module):
    def __init__(self, softmax=False, detach=False):
        super().__init__()
        self.one, self.two, self.options = nn.Linear(64, 16), nn.Linear(16, 10), (softmax, detach)

    def forward(self, x):
        softmax, detach = self.options
        x = self.one(x.flatten(1)).relu()
        x = self.two(x.detach() if detach else x)
        return x.softmax(dim=1) if softmax else x

class Wide(Check):
    least: int = 100

    def look(self, probe):
        count = sum(one.numel() for one in probe.network.parameters())
        if count < self.least:
            yield Finding("warning", "The network is small.", f"{count} parameters", f"at least {self.least}", "Widen.")

class Broken(Check):
    def look(self, probe):
        raise KeyError("lost")
"""

RECIPE = """
study: study
data: {name: digits, limit: 400}
%s
baseline: {name: base, model: {target: "net:Net"}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.05}, epochs: 1}
variants:
  - {name: soft, from: base, set: {model.softmax: true}}
  - {name: cut, from: base, set: {model.detach: true}}
  - {name: cut wide, from: cut, set: {batch_size: 32}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe with a healthy baseline and two faults."""
    (tmp_path / "net.py").write_text(NET)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE % "")
    return path


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_findings_are_one_line_each_for_all_variants_and_nothing_is_stored(ablate, recipe, tmp_path):
    before = files(tmp_path)
    done = ablate("check", "recipe.yaml")
    assert done.code == 2
    error, warning, other, summary = done.out.splitlines()
    assert error.startswith("error: output_and_loss (soft): The network ends in softmax, but the loss cross_entropy")
    assert warning.startswith("warning: gradients (cut, cut wide): Some parameters get no gradient")
    assert "Seen: one.weight, one.bias (2 of 4). Expected: a gradient for every parameter. Fix: " in warning
    assert other.startswith("warning: overfits (cut, cut wide): ")
    assert summary == "1 error and 2 warnings in 4 variants (23 checks)."
    assert files(tmp_path) == before


def test_only_selects_variants_and_warnings_alone_exit_with_0(ablate, recipe):
    done = ablate("check", "recipe.yaml", "--only", "base")
    assert (done.code, done.out) == (0, "No problems found in 1 variant (23 checks).\n")
    assert ablate("check", "recipe.yaml", "--only", "cut").code == 0


def test_json_has_stable_keys(ablate, recipe):
    done = ablate("check", "recipe.yaml", "--json")
    found = done.json()
    assert done.code == 2
    assert set(found) == {"study", "variants", "checks", "findings", "not_judged", "own_training"}
    assert found["variants"] == ["base", "soft", "cut", "cut wide"]
    assert len(found["checks"]) == 23
    assert {*found["findings"][0]} == {
        *("severity", "check", "variants", "problem", "seen", "expected", "fix", "source"),
    }
    assert found["findings"][1]["seen"] == dict.fromkeys(["cut", "cut wide"], "one.weight, one.bias (2 of 4)")


def test_what_a_training_raises_is_an_error_with_its_line(ablate, recipe, tmp_path):
    (tmp_path / "net.py").write_text(NET.replace("nn.Linear(16, 10)", "nn.Linear(15, 10)"))
    done = ablate("check", "recipe.yaml", "--only", "base")
    assert done.code == 2
    assert "error: first_step (base): The first step fails. Seen: RuntimeError: mat1 and mat2 shapes" in done.out
    assert "(net.py, line " in done.out


def test_recipes_change_leave_out_and_add_checks(ablate, recipe, tmp_path):
    own = 'checks: [{gradients: false}, {target: "net:Wide", least: 5000}, {target: "net:Broken"}]'
    recipe.write_text(RECIPE % own)
    done = ablate("check", "recipe.yaml", "--only", "cut")
    assert done.code == 0
    assert "gradients" not in done.out
    assert "warning: Wide (cut): The network is small. Seen: 1210 parameters. Expected: at least 5000." in done.out
    assert "warning: Broken (cut): The check itself failed. Seen: KeyError: 'lost' (net.py, line" in done.out


@pytest.mark.parametrize(
    ("own", "rule"),
    [
        ("checks: {labels: false}", "checks (={labels: false}) must be a list"),
        ("checks: [label]", "checks[0] (=label) is not a known check. Did you mean 'labels'?"),
        ("checks: [{labels: {share: -1}}]", "checks[0].share (=-1) must be greater than 0."),
        ("checks: [labels, {labels: false}]", "checks[1] (=labels) is listed twice. Remove one of them."),
    ],
)
def test_wrong_checks_are_errors_of_the_recipe(ablate, recipe, own, rule):
    recipe.write_text(RECIPE % own)
    done = ablate("plan", "recipe.yaml", "--quick")
    assert done.code == 2
    assert rule in done.err


def test_checks_leave_the_fingerprints_as_they_are(ablate, recipe):
    ablate("run", "recipe.yaml", "--only", "base")
    recipe.write_text(RECIPE % "checks: [{gradients: false}]")
    done = ablate("run", "recipe.yaml", "--only", "base")
    assert "1 run: 1 finished, 0 to train" in done.err


def test_run_prints_the_quick_findings_of_new_variants_once(ablate, recipe):
    done = ablate("run", "recipe.yaml", "--only", "base,cut")
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line.startswith("warning: gradients (cut): ")]
    again = ablate("run", "recipe.yaml", "--only", "base,cut", "--seeds", "2")
    assert again.code == 0
    assert "warning: gradients" not in again.err


def test_an_error_ends_run_before_training_unless_no_check_is_given(ablate, recipe, tmp_path):
    done = ablate("run", "recipe.yaml", "--only", "base,soft")
    assert done.code == 2
    assert "error: output_and_loss (soft)" in done.err
    assert "Nothing was trained, because the checks found errors. Fix them, or add --no-check." in done.err
    assert not (tmp_path / "runs" / "store").exists()
    assert ablate("run", "recipe.yaml", "--only", "base,soft", "--no-check").code == 0


def test_run_leaves_errors_of_user_code_to_the_job(ablate, recipe, tmp_path):
    (tmp_path / "net.py").write_text(NET.replace("x = self.two", "x = self.none if self.options[0] else self.two"))
    done = ablate("run", "recipe.yaml", "--only", "base,soft", "--format", "json")
    assert done.code == 1
    assert {name: row["status"] for name, row in done.rows().items()} == {"base": "finished", "soft": "failed"}


def test_what_a_pass_raises_is_no_finding_of_the_quick_checks(ablate, recipe, tmp_path):
    loss = "def loss(prediction, target):\n    raise KeyError('lost')\n"
    (tmp_path / "net.py").write_text(NET + loss)
    done = ablate("run", "recipe.yaml", "--only", "base", "--set", 'loss={"target": "net:loss"}')
    assert done.code == 1
    assert "failed: KeyError: 'lost'" in done.err
    assert "warning: " not in done.err, "the checks themselves do not fail"


def test_a_network_that_exits_is_an_error_of_its_own_variant_only(ablate, recipe, tmp_path):
    (tmp_path / "net.py").write_text(NET.replace("super()", "softmax and exit(7)\n        super()"))
    done = ablate("check", "recipe.yaml", "--only", "soft,cut", "--json")
    seen = {one["check"]: one["seen"] for one in done.json()["findings"]}
    assert seen["first_step"] == {"soft": "SystemExit: 7 (net.py, line 8, in __init__)"}
    assert list(seen["gradients"]) == ["cut"]
    assert "warning: gradients (cut): " in ablate("run", "recipe.yaml", "--only", "soft,cut").err


def test_of_own_training_only_the_arguments_are_checked(ablate, tmp_path):
    (tmp_path / "train.py").write_text("def main(run, lr=0.1):\n    run.log(epoch=1, train_loss=1.0, valid_loss=1.0)\n")
    (tmp_path / "own.yaml").write_text('trainer: {target: "train:main"}\nbaseline: {name: base, args: {lr: 0.1}}\n')
    done = ablate("check", "own.yaml")
    assert (done.code, done.out) == (0, "No problems found in 1 variant (23 checks).\n")
    assert "base: trained by your own code, so only the arguments were checked." in done.err
    (tmp_path / "own.yaml").write_text('trainer: {target: "train:main"}\nbaseline: {name: base, args: {rate: 0.1}}\n')
    done = ablate("check", "own.yaml")
    assert done.code == 2
    assert "rate" in done.out


@pytest.mark.parametrize("seconds", ["0", "nan"])
def test_the_time_of_a_check_must_be_a_number_greater_than_0(ablate, recipe, seconds):
    done = ablate("check", "recipe.yaml", "--seconds", seconds)
    assert (done.code, done.err) == (2, f"--seconds (={seconds}) must be greater than 0.\n")


def test_a_check_without_time_is_listed_as_not_completed(ablate, recipe):
    done = ablate("check", "recipe.yaml", "--only", "base", "--seconds", "1e-9", "--json")
    assert done.code == 0
    assert {one["check"] for one in json.loads(done.out)["not_judged"]} >= {"overfits", "uses_inputs"}
    assert done.err.startswith(
        "base: evaluation_gap, labels, learning_rate, overfits, update_size, uses_inputs not completed ("
    )
    assert done.err.count("\n") == 1
