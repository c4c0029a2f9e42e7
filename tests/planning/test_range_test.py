"""The learning-rate range test: its curve, the suggestions, and the steps that it takes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from ablate.cli.app import run_command
from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.range_test import exploded, set_rates, take_steps
from ablate.engine.training import train
from ablate.planning.range_test import Found, choose, search, smoothed, usual
from ablate.recipe import Recipe
from ablate.report.learning_rate import batch_advice, suggestion

RECIPE = """
study: digits
data: {{name: digits, limit: 300}}
seeds: 2
baseline:
  name: plain
  model: {{name: mlp, hidden: [16]}}
  loss: cross_entropy
  optimizer: {optimizer}
  batch_size: 16
  epochs: 1
{more}
"""


def settings(folder, optimizer="{name: sgd, lr: 0.1}", more=""):
    (folder / "r.yaml").write_text(RECIPE.format(optimizer=optimizer, more=more))
    recipe = Recipe.load(folder / "r.yaml")
    return recipe.variants[-1].settings


def assigned(folder, seeds=(0, 1), **how):
    one = settings(folder, **how)
    return Assignment(one, seeds, folder), load_parts(one.data, folder, form=one.batch)


class Quiet:
    """A report that keeps the lines."""

    def __init__(self):
        self.lines = []

    def started(self, facts): ...
    def due(self, epoch):
        return False

    def weights(self, *given): ...
    def ended(self, *given): ...
    def epoch(self, replica, line):
        self.lines.append(line)


def test_steps_at_the_recipes_rate_are_those_of_the_training(tmp_path):
    assignment, data = assigned(tmp_path)
    report = Quiet()
    train(assignment, data, report)
    count = -(-len(data.train) // 16)
    found = take_steps(assignment, data, np.full(count, 0.1))
    sizes = np.array([min(16, len(data.train) - 16 * i) for i in range(count)])
    means = (found.losses * sizes).sum(axis=1) / sizes.sum()
    assert means == pytest.approx([line["train_loss"] for line in report.lines], rel=1e-6)
    assert found.valid.tolist() == [0, 0]  # not evaluated
    assert found.noise_scale is None


def test_evaluation_changes_nothing_and_is_that_of_the_training(tmp_path):
    assignment, data = assigned(tmp_path, more="  add: [{dropout: 0.5}]\n")
    report = Quiet()
    train(assignment, data, report)
    count = -(-len(data.train) // 16)
    seen = take_steps(assignment, data, np.full(count, 0.1), (3, count))
    assert np.array_equal(seen.losses, take_steps(assignment, data, np.full(count, 0.1)).losses)
    last = take_steps(assignment, data, np.full(count, 0.1), (count,))
    assert last.valid == pytest.approx([line["valid_loss"] for line in report.lines], rel=1e-6)


def test_the_rates_are_used_and_groups_keep_their_ratio(tmp_path):
    groups = "{name: sgd, lr: 0.1, groups: [{match: '*bias', lr: 0.01}]}"
    assembly = assemble(*assigned(tmp_path, optimizer=groups))
    set_rates(assembly, np.array([0.5, 2.0]))
    for step, rate in enumerate((0.5, 2.0)):
        for setter in assembly.setters:
            setter(step)
        assert sorted(float(group["lr"]) for group in assembly.optimizer.param_groups) == pytest.approx(
            [rate / 10, rate]
        )


def test_schedules_and_warmup_do_not_hide_the_rates(tmp_path):
    warm = "{name: sgd, lr: {warmup: 1, then: 0.1}, momentum: {linear: [0.5, 0.9]}}"
    assembly = assemble(*assigned(tmp_path, optimizer=warm))
    set_rates(assembly, np.array([0.5]))
    for setter in assembly.setters:
        setter(0)
    [group] = assembly.optimizer.param_groups
    assert float(group["lr"]) == 0.5
    assert group["momentum"] == 0.5


def test_what_has_exploded():
    losses = np.array([[1.0, 2.0, 7.9], [1.0, 2.0, 8.1], [1.0, 2.0, np.nan], [-1.0, -3.0, -9.0]])
    assert exploded(losses[:, :2]).tolist() == [False] * 4
    beginning = np.hstack([losses[:, :2].repeat(5, axis=1), losses[:, 2:]])
    assert exploded(beginning).tolist() == [False, True, True, False]


def as_fastai_has_it(lrs, losses):
    """`valley` of fastai, fastai/callback/schedule.py, written out with its loops."""
    n = len(losses)
    max_end = max_start = 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return lrs[max_start + int(sections) + int(sections / 2)]


def test_the_usual_suggestions():
    rates = np.geomspace(1e-6, 10, 141)
    x = np.log10(rates)
    curve = 2 - 1.5 / (1 + np.exp(-3 * (x + 2))) + np.where(x > 0, x**2, 0)
    found = usual(rates, curve)
    assert found["steepest"] == pytest.approx(1e-2)
    assert found["minimum/10"] == pytest.approx(rates[np.argmin(curve)] / 10)
    for seed in range(5):
        noisy = curve + 0.05 * np.random.default_rng(seed).standard_normal(141)
        assert usual(rates, noisy)["valley"] == as_fastai_has_it(rates, noisy)


def test_the_curve_is_smoothed_without_a_shift_and_cut():
    rates = np.geomspace(1e-6, 10, 100)
    line = np.linspace(5, 1, 100)
    shown, curve = smoothed(rates, np.stack([line, line - 1, line + 30]))
    assert curve[5:-5] == pytest.approx(line[5:-5])
    grown = np.where(np.arange(100) < 60, 1.0, 10.0)
    shown, curve = smoothed(rates, grown[None])
    assert 55 < len(shown) < 65
    assert curve[-1] > 4 > curve[-2]
    lost = np.where(np.arange(100) < 60, 1.0, np.nan)
    assert len(smoothed(rates, np.stack([np.ones(100), lost]))[0]) == 60
    with pytest.raises(ValueError, match="not finite even at the lowest"):
        smoothed(rates, np.full((1, 100), np.nan))


@pytest.mark.parametrize(
    ("tried", "start", "rate"),
    [
        ({0.4: 0.30, 0.2: 0.20, 0.1: 0.25, 0.05: 0.40}, 2.3, 0.14),  # 0.2 and 0.1
        ({0.4: float("inf"), 0.2: 0.2, 0.1: 0.3}, 2.3, 0.2),
        ({0.4: 2.4, 0.2: 2.35}, 2.3, None),
        ({0.4: -1.0, 0.2: -1.05, 0.1: 0.0}, 2.0, 0.28),  # a third of the way from -1.05 to 2 is close
        ({0.4: float("inf")}, 2.3, None),
    ],
)
def test_the_choice(tried, start, rate):
    assert choose(tried, start) == rate


def test_a_search_on_digits(tmp_path):
    found = search(settings(tmp_path), tmp_path, None, 2)
    assert found.seeds == 2
    assert len(found.tried) == 7
    assert 0.02 < found.suggested < 2
    assert found.noise_scale > 0
    assert search(settings(tmp_path), tmp_path, None, 2) == found


def run(*words):
    return run_command([str(word) for word in words])


def test_the_command_stores_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings(tmp_path, more="variants:\n  - {name: adam, set: {optimizer: {name: adam, lr: 0.01}}}\n")
    assert run("lr", "r.yaml", "adam", "--seeds", 1, "-o", "lr.png") == 0
    out, err = capsys.readouterr()
    assert "Suggested: --set adam.optimizer.lr=" in out
    assert "From the curve alone: steepest " in out
    assert err == "Wrote lr.png.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr.png", "r.yaml"]
    assert run("lr", "r.yaml", "--seeds", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["variant"] == "plain"
    assert found["suggested"] is not None
    assert len(found["rates"]) == len(found["losses"])


OWN = """
study: own
trainer: {target: "mine:main"}
metrics: [valid_loss]
compare: {metric: valid_loss}
baseline: {name: base, args: {lr: 0.1}}
"""


def test_what_has_no_rate_to_find_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(OWN)
    Path("mine.py").write_text("def main(run, lr=0.1): ...\n")
    settings(tmp_path)
    for words, message in (
        (("own.yaml",), "VARIANT (=base) must be trained by the built-in loop, which sets the learning rate.\n"),
        (("r.yaml", "adm"), "VARIANT (=adm) is not defined in r.yaml."),
        (("r.yaml", "-o", "lr.txt"), "--output (=lr.txt) must end in one of .png, .svg, .pdf."),
        (("r.yaml", "-o", "no/lr.png"), "--output (=no/lr.png) must be in an existing folder."),
    ):
        assert run("lr", *words) == 2
        assert capsys.readouterr().err.startswith(message)


def test_a_network_that_learns_nothing_is_sent_to_check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        "import torch\n"
        "class Deaf(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x.flatten(1)) * 0 + 0 * self.layer.weight.sum()\n"
    )
    settings(tmp_path)
    text = Path("r.yaml").read_text().replace("{name: mlp, hidden: [16]}", '{target: "net:Deaf"}')
    Path("r.yaml").write_text(text)
    assert run("lr", "r.yaml", "--seeds", 1) == 0
    assert "No learning rate reduces the loss. Run 'ablate check'" in capsys.readouterr().out


def test_the_suggestion_can_be_pasted_into_a_shell():
    found = Found(rates=(), losses=(), usual={}, tried={}, suggested=0.02, seeds=1)
    [line] = suggestion("wide net.optimizer.lr", found)
    assert shlex.split(line.removeprefix("Suggested: ")) == ["--set", "wide net.optimizer.lr=0.02"]


@pytest.mark.parametrize(("scale", "shown"), [(0.523, "0.52"), (7.04, "7"), (153.2, "150"), (1234567.0, "1,200,000")])
def test_the_noise_scale_has_two_digits_without_an_exponent(tmp_path, scale, shown):
    found = Found(rates=(), losses=(), usual={}, tried={}, suggested=0.02, seeds=1, noise_scale=scale)
    [line] = batch_advice(settings(tmp_path), found)
    assert line.startswith(f"Gradient noise scale: about {shown} samples (batch_size: 16)")
