"""What happens around the step, in a stack of three seeds as in each alone, and after a checkpoint as without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice

SEEDS = (0, 1, 2)
PLATEAU = ("plateau", {"factor": 0.5, "patience": 1, "threshold": 0.05, "cooldown": 1})
CASES = {
    "accumulate": [("accumulate", {"batches": 3})],
    "ema": [("ema", {"decay": {"linear": [0.5, 0.9]}, "start": 1})],
    "swa": [("swa", {"start": 3, "lr": 0.02, "anneal": 2})],
    "swa of steps": [("swa", {"start": 2, "every": "step", "norms": "live"})],
    "lookahead": [("lookahead", {"steps": 4, "norms": "recompute"})],
    "sam": [("sam", {"rho": 0.2}), ("clip_norm", {"limit": 1})],
    "adaptive sam": [("sam", {"rho": 0.5, "adaptive": True})],
    "plateau": [PLATEAU],
    "restart": [("restart", {"at": 5, "from_epoch": 2, "lr": {"linear": [0.1, 0.01]}})],
    "fresh restart": [("restart", {"at": 4, "from_epoch": 0, "factor": 0.5, "optimizer": "fresh"})],
    "together": [
        ("accumulate", {"batches": 2}),
        ("sam", {}),
        ("ema", {"decay": 0.8}),
        PLATEAU,
        ("restart", {"at": 5, "from_epoch": 3, "factor": 0.5}),
        ("early_stop", {"patience": 4}),
    ],
}
OPTIMIZERS = {
    "sgd": {"lr": {"linear": [0.3, 0.05]}, "momentum": 0.9},
    "adam": {"lr": 0.02},
    "vsgd": {"curvature": "finite_difference", "window": 3},
}
BY_CASE = {"plateau": ["sgd", "adam", "vsgd"], "restart": ["sgd", "adam", "vsgd"], "sam": ["sgd", "vsgd"]}
PAIRS = [(case, optimizer) for case in CASES for optimizer in BY_CASE.get(case, ["sgd"])]


class Record:
    """A report that keeps all it hears, seed by seed."""

    def __init__(self, folder=None):
        self.folder, self.lines, self.kept, self.outcomes, self.facts = folder, {}, {}, {}, {}

    def started(self, facts):
        self.facts = facts

    def epoch(self, replica, line):
        # None is a noise scale that is hidden by noise
        numbers = {n: -1.0 if v is None else v for n, v in line.items() if n not in ("time", "seconds")}
        self.lines.setdefault(replica, []).append(numbers)

    def due(self, epoch):
        return self.folder is not None

    def checkpoint(self, state):
        torch.save(dict(state), self.folder / f"{state['epoch']}.pt")

    def weights(self, replica, which, state):
        self.kept[replica, which] = {name: value.clone() for name, value in state.items()}

    def ended(self, replica, outcome):
        self.outcomes[replica] = outcome


@pytest.fixture
def make(settings, make_choice):
    def made(case, optimizer="sgd", **fields):
        # adam divides by the size of gradients that are nothing but rounding, those of a bias before batch norm
        norms = optimizer != "adam"
        model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[12], batch_norm=norms)
        tricks = [*CASES[case], ("dropout", {"hidden": 0.3})]
        choices = [make_choice("trick", name, **options) for name, options in tricks]
        base = {
            "model": model,
            "optimizer": make_choice("optimizer", optimizer, **OPTIMIZERS[optimizer]),
            "watch": (make_choice("watch", "noise_scale", every=2),),
            "precision": "float64",
            "epochs": 8,
            "tricks": tuple(sorted(choices, key=lambda choice: choice.options.order)),
        }
        chosen = settings(**(base | fields))
        for choice in choices:
            chosen = choice.options.on_settings(chosen)
        return chosen

    return made


def trained(settings, data, seeds=SEEDS, folder=None, resume=None):
    report = Record(folder)
    train(Assignment(settings.replace(stack=len(seeds)), seeds, Path()), data, report, resume)
    return report


@pytest.mark.parametrize(("case", "optimizer"), PAIRS)
def test_a_stack_of_three_is_each_seed_alone(make, pictures, case, optimizer):
    chosen = make(case, optimizer)
    together = trained(chosen, pictures)
    assert together.facts.stack == [list(SEEDS)]
    for i, seed in enumerate(SEEDS):
        alone = trained(chosen, pictures, (seed,))
        assert len(alone.lines[0]) == len(together.lines[i])
        for mine, other in zip(together.lines[i], alone.lines[0], strict=True):
            assert mine == pytest.approx(other, rel=1e-9, abs=1e-9)
        for which in ("last", "best"):
            for name, value in together.kept[i, which].items():
                torch.testing.assert_close(value, alone.kept[0, which][name], rtol=1e-9, atol=1e-9, msg=name)
    if case == "plateau" and optimizer == "sgd":
        rates = [tuple(line["lr"] for line in together.lines[i]) for i in range(3)]
        assert len(set(rates)) > 1, "each seed has plateaus of its own"


@pytest.mark.slow
@pytest.mark.parametrize(("case", "optimizer"), PAIRS)
def test_what_goes_on_from_a_checkpoint_is_bit_for_bit_the_same(make, pictures, tmp_path, case, optimizer):
    chosen = make(case, optimizer)
    whole = trained(chosen, pictures, folder=tmp_path)
    for epoch in (1, 3, 5):
        again = trained(chosen, pictures, resume=torch.load(tmp_path / f"{epoch}.pt", weights_only=True))
        assert {i: lines for i, lines in again.lines.items() if lines} == {
            i: lines[epoch:] for i, lines in whole.lines.items() if lines[epoch:]
        }
        for key, state in whole.kept.items():
            assert all(torch.equal(value, again.kept[key][name]) for name, value in state.items()), key


HOOKS = """
import torch
from pydantic import PrivateAttr
from ablate import Trick

class Halved(Trick):
    _epoch: int = PrivateAttr(default=0)
    _best: dict = PrivateAttr(default_factory=dict)
    def on_rate(self, rate):
        return rate / (1 + self._epoch * (1 + self.context.seeds[0]))
    def on_weights(self, parameters):
        assert all(parameter.dim() < 5 for parameter in parameters.values())
        self._best = {name: parameter.detach() * 0.9 for name, parameter in parameters.items()}
    def evaluation_weights(self):
        return self._best
    def on_epoch(self, epoch, metrics):
        self._epoch = epoch

class Twice(Trick):
    def on_pass(self, gradients, parameters):
        gradients()
"""


def test_a_users_rate_and_weights_see_one_network(settings, pictures, tmp_path, monkeypatch):
    (tmp_path / "hooks_around_the_step.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    chosen = settings(tricks=(Choice("trick", None, "hooks_around_the_step:Halved", {}),), precision="float64")
    together = trained(chosen, pictures)
    assert together.facts.stack == [list(SEEDS)]
    assert [line["lr"] for line in together.lines[2]] == pytest.approx([0.05, 0.05 / 4, 0.05 / 7])
    for i, seed in enumerate(SEEDS):
        alone = trained(chosen, pictures, (seed,))
        for mine, other in zip(together.lines[i], alone.lines[0], strict=True):
            assert mine == pytest.approx(other, rel=1e-9)


def test_a_users_further_pass_keeps_seeds_apart(settings, pictures, tmp_path, monkeypatch):
    (tmp_path / "hooks_around_the_step.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    chosen = settings(tricks=(Choice("trick", None, "hooks_around_the_step:Twice", {}),), precision="float64")
    report = trained(chosen, pictures)
    assert report.facts.stack == [[0], [1], [2]]
    assert "has the hook on_pass" in report.facts.notes[0].values["reason"]
    for i, seed in enumerate(SEEDS):
        assert report.lines[i] == trained(chosen.replace(tricks=()), pictures, (seed,)).lines[0]
