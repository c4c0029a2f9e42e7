"""Seeds that train as a stack get what each of them gets alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice

SEEDS = (0, 1, 2, 3, 4)


class Record:
    """A report that keeps all it hears, seed by seed."""

    def __init__(self, seeds, keep=None):
        self.seeds, self.keep = seeds, keep
        self.lines = {seed: [] for seed in seeds}
        self.weight = {seed: {} for seed in seeds}
        self.outcomes, self.facts, self.states = {}, {}, []

    def started(self, facts):
        self.facts = facts

    def epoch(self, replica, line):
        numbers = {k: math.nan if v is None else v for k, v in line.items() if k not in ("time", "seconds")}
        self.lines[self.seeds[replica]].append(numbers)

    def due(self, epoch):
        return self.keep is not None

    def checkpoint(self, state):
        torch.save(dict(state), self.keep / f"{state['epoch']}.pt")

    def weights(self, replica, which, state):
        self.weight[self.seeds[replica]][which] = state

    def ended(self, replica, outcome):
        self.outcomes[self.seeds[replica]] = outcome


@pytest.fixture
def run(pictures):
    """Train seeds in one job; ``stack`` says how."""

    def go(settings, seeds=SEEDS, data=None, keep=None, resume=None, folder=Path(), stack=5):
        report = Record(seeds, keep)
        train(Assignment(settings.replace(stack=stack), seeds, folder), data or pictures, report, resume)
        return report

    return go


def assert_same(a: Record, b: Record, seeds, tolerance=1e-9):
    """All numbers of all epochs, how they ended, and all weights."""
    for seed in seeds:
        assert len(a.lines[seed]) == len(b.lines[seed])
        for mine, other in zip(a.lines[seed], b.lines[seed], strict=True):
            assert mine == pytest.approx(other, rel=tolerance, abs=tolerance, nan_ok=True)
        mine, other = a.outcomes[seed], b.outcomes[seed]
        assert (mine.status, mine.epoch, mine.best_epoch, mine.selected_epoch) == (
            other.status,
            other.epoch,
            other.best_epoch,
            other.selected_epoch,
        )
        assert mine.results.keys() == other.results.keys()
        for which, values in mine.results.items():
            assert values == pytest.approx(other.results[which], rel=tolerance, abs=tolerance)
        assert a.weight[seed].keys() == b.weight[seed].keys()
        for which, state in a.weight[seed].items():
            assert state.keys() == b.weight[seed][which].keys()
            for name, value in state.items():
                expected = b.weight[seed][which][name]
                assert value.shape == expected.shape
                torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance, msg=name)


TRICKS = [
    ("flip", {}),
    ("shift", {"pixels": 1}),
    ("standardise", {}),
    ("dropout", {"hidden": {"linear": [0.2, 0.5]}}),
    ("weight_decay", {"rate": 0.01, "biases_and_norms": False}),
    ("early_stop", {"patience": 1}),
]
MODELS = {
    "mlp": ("mlp", {"hidden": [12, 8]}),
    "convnet": ("convnet", {"channels": [4, 6], "kernels": [3, 2], "hidden": [16], "batch_norm": True}),
}


@pytest.fixture
def full(settings, make_choice):
    """Every trick that there is, on a network, in float64; a rate at which seeds stop at unlike epochs."""

    def make(model="convnet", optimizer="sgd", *, used=TRICKS, **fields):
        name, options = MODELS[model]
        rate = {"sgd": 0.3, "adam": 0.06}[optimizer]
        chosen = settings(
            model=make_choice("model", name, **options),
            optimizer=make_choice("optimizer", optimizer, lr={"linear": [rate, rate / 10]}),
            metrics=(make_choice("metric", "accuracy"),),
            epochs=8,
            precision="float64",
        )
        tricks = tuple(make_choice("trick", n, **o) for n, o in used)
        chosen = chosen.replace(tricks=tricks, **fields)
        for trick in tricks:
            chosen = trick.options.on_settings(chosen)
        return chosen

    return make


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_a_seed_gets_in_a_stack_what_it_gets_alone(full, run, model, optimizer):
    chosen = full(model, optimizer)
    alone = run(chosen, (0,))
    five = run(chosen)
    assert five.facts.stack == [[0, 1, 2, 3, 4]]
    assert_same(alone, five, (0,))
    assert_same(alone, run(chosen, (0, 1, 2)), (0,))
    # seeds are not all the same, and end at epochs of their own
    assert len({five.outcomes[seed].results["best"]["valid_loss"] for seed in SEEDS}) == 5
    assert len({five.outcomes[seed].epoch for seed in SEEDS}) > 1


def test_the_last_seed_that_stopped_long_ago_keeps_its_weights(full, run):
    chosen = full("mlp", epochs=12)
    five = run(chosen)
    first, last = (pick(SEEDS, key=lambda seed: five.outcomes[seed].epoch) for pick in (min, max))
    assert five.outcomes[first].epoch < five.outcomes[last].epoch
    for seed in (first, last):
        assert_same(run(chosen, (seed,)), five, (seed,))


def test_five_seeds_in_one_stack_and_in_two_give_the_same(full, run):
    chosen = full()
    five, split = run(chosen), run(chosen, stack=3)
    assert split.facts.stack == [[0, 1, 2], [3, 4]]
    assert_same(five, split, SEEDS)
    assert_same(five, run(chosen, stack="off"), SEEDS)


def test_rounding_is_no_reason_not_to_stack(full, run):
    """The gradient of a bias before batch norm is nothing else."""
    assert run(full("convnet", precision="float32", epochs=1)).facts.stack == [list(SEEDS)]


def test_float32_is_close_for_an_mlp(full, run):
    chosen = full("mlp", precision="float32", used=[])
    assert_same(run(chosen), run(chosen, stack="off"), SEEDS, tolerance=1e-3)


def test_missing_targets_stay_out_of_each_seeds_loss(settings, make_choice, run):
    from ablate.data.dataset import Part, Parts, Spec

    draw = torch.Generator().manual_seed(3)
    inputs, targets = torch.rand(30, 1, 8, 8, generator=draw), torch.rand(30, 4, generator=draw)
    targets[torch.rand(30, 4, generator=draw) < 0.6] = math.nan
    data = Parts(Part(inputs, targets), Part(inputs, targets), Spec((1, 8, 8), 4, "regression"), Part(inputs, targets))
    chosen = settings(loss=make_choice("loss", "mse"), batch_size=7, precision="float64")
    together = run(chosen, data=data)
    assert together.facts.stack == [list(SEEDS)]
    assert "test_loss" in together.outcomes[0].results["last"]
    assert_same(together, run(chosen, data=data, stack="off"), SEEDS)


def test_streamed_and_unshuffled_data_stack_too(full, run):
    chosen = full("mlp")
    chosen = chosen.replace(tricks=tuple(choice for choice in chosen.tricks if choice.name != "standardise"))
    assert_same(run(chosen), run(chosen.replace(loader="streamed")), SEEDS)
    unshuffled = chosen.replace(shuffle=False)
    assert_same(run(unshuffled), run(unshuffled, stack="off"), SEEDS)


def test_a_seed_that_diverges_does_not_take_its_neighbours_along(settings, make_choice, run, tmp_path):
    """A trick of the user's spoils the third seed's weights in the second epoch."""
    (tmp_path / "spoils_one.py").write_text(
        """
import torch
from ablate import Trick

class Spoil(Trick):
    def on_batch(self, batch, noise):
        if self.context.seeds == (2,) and self.state_["epoch"] >= 1:
            batch.inputs = batch.inputs * float("nan")
        return batch
    def bind(self, context):
        super().bind(context)
        object.__setattr__(self, "state_", {"epoch": 0})
    def on_epoch(self, epoch, metrics):
        self.state_["epoch"] = epoch
"""
    )
    chosen = settings(tricks=(Choice("trick", None, "spoils_one:Spoil", {}),), precision="float64", epochs=4)
    together, apart = run(chosen, folder=tmp_path), run(chosen, folder=tmp_path, stack="off")
    assert together.facts.stack == [list(SEEDS)]
    assert together.outcomes[2].status == "diverged"
    assert together.outcomes[2].epoch == len(together.lines[2]) == 2
    assert together.weight[2] == {}
    assert_same(together, apart, SEEDS)


def test_resumed_stack_equals_undisturbed_bit_for_bit(full, run, tmp_path):
    chosen = full("convnet", "adam", epochs=10)
    whole = run(chosen, keep=tmp_path)
    ends = [whole.outcomes[seed].epoch for seed in SEEDS]
    for epoch in (3, max(ends) - 1):
        saved = torch.load(tmp_path / f"{epoch}.pt", weights_only=True)
        again = run(chosen, resume=saved)
        assert {seed: lines for seed, lines in again.lines.items()} == {
            seed: lines[epoch:] for seed, lines in whole.lines.items()
        }
        assert again.outcomes == whole.outcomes
        for seed in SEEDS:
            for which, state in whole.weight[seed].items():
                assert all(torch.equal(value, again.weight[seed][which][name]) for name, value in state.items())
    # one of these states was saved when a seed had stopped already
    assert min(ends) <= max(ends) - 1
    with pytest.raises(ValueError, match=r"checkpoint \(=seeds \[0, 1, 2, 3, 4\]\)"):
        run(chosen, seeds=(0, 1), resume=saved)


NETWORKS = """
import torch
from torch import nn

class Usual(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop2d = nn.Dropout2d(0.2)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(36, outputs)
    def forward(self, x):
        x = self.drop2d(torch.relu(self.norm(self.conv(x))))
        x = nn.functional.max_pool2d(x, 2).flatten(1)
        return self.out(self.drop(x)) + self.drop(self.out(x))

class Recurrent(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, outputs)
    def forward(self, x):
        return self.out(self.lstm(x[:, 0])[0][:, -1])

class Plain(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.out = nn.Linear(64, outputs)
    def forward(self, x):
        return self.out(x.flatten(1))

class Deciding(Plain):
    def forward(self, x):
        x = super().forward(x)
        return x if x.sum() > 0 else 2 * x

class Reading(Plain):
    def forward(self, x):
        x = super().forward(x)
        return x / x.abs().max().item()

class Drawing(Plain):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.2, self.training))

class Masking(Plain):
    def forward(self, x):
        x = super().forward(x)
        return x - x[x > 0].mean()

class Stored(Plain):
    def __init__(self, outputs):
        super().__init__(outputs)
        self.scale = torch.rand(outputs) + 0.5
    def forward(self, x):
        return super().forward(x) * self.scale.to(x.dtype)

class Mixed(nn.Sequential):
    pass

def nested(outputs):
    body = nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.GroupNorm(2, 6), nn.PReLU(), nn.Dropout(0.2))
    head = nn.Linear(54, outputs)
    return nn.Sequential(body, nn.AvgPool2d(2), nn.Flatten(), nn.LayerNorm(54), nn.Linear(54, 54), nn.SiLU(), head)

def tied(outputs):
    shared = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), shared, nn.Tanh(), shared, nn.Linear(64, outputs))
"""


def users(settings, name, **fields):
    default = settings().init.options.__class__
    return settings(
        model=Choice("model", None, f"networks_to_stack:{name}", {}),
        init=Choice("init", "default", None, default.model_validate({})),
        precision="float64",
        **fields,
    )


@pytest.mark.parametrize("name", ["Usual", "nested", "tied"])
def test_a_users_network_stacks(settings, run, tmp_path, name):
    (tmp_path / "networks_to_stack.py").write_text(NETWORKS)
    chosen = users(settings, name)
    together = run(chosen, folder=tmp_path)
    assert together.facts.stack == [list(SEEDS)]
    assert together.facts.notes == []
    assert_same(together, run(chosen, folder=tmp_path, stack="off"), SEEDS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Recurrent", "uses aten::lstm.input, which cannot be vmapped"),
        ("Deciding", "branches on a tensor's value"),
        ("Reading", "reads a tensor's value"),
        ("Drawing", "torch's global random"),
        ("Masking", "indexes with a mask"),
        ("Stored", "model: Predictions of seeds"),
    ],
)
def test_a_network_that_cannot_stack_trains_seed_by_seed_and_says_why(settings, run, tmp_path, name, reason):
    (tmp_path / "networks_to_stack.py").write_text(NETWORKS)
    chosen = users(settings, name)
    together = run(chosen, folder=tmp_path, keep=tmp_path)
    assert together.facts.stack == [[seed] for seed in SEEDS]
    [note] = together.facts.notes
    assert note.kind == "not_stacked"
    assert reason in note.values["reason"]
    for seed in SEEDS:
        assert_same(together, run(chosen, (seed,), folder=tmp_path), (seed,))
    resumed = run(chosen, folder=tmp_path, resume=torch.load(tmp_path / "2.pt", weights_only=True))
    assert resumed.outcomes == together.outcomes


def test_a_users_hooks_and_measures_see_one_network(settings, run, tmp_path):
    """Every hook, with memory of its own for each seed, a loss and a metric that read values."""
    (tmp_path / "hooks_of_one.py").write_text(
        """
import torch
from pydantic import PrivateAttr
from ablate import Trick

class Own(Trick):
    by: float = 0.1
    _mean: dict = PrivateAttr(default_factory=dict)
    _epochs: int = PrivateAttr(default=0)
    def on_batch(self, batch, noise):
        assert batch.inputs.dim() == 4
        batch.inputs = batch.inputs + self.now.by * noise.uniform(len(batch.inputs), 1, 1, 1)
        return batch
    def on_loss(self, loss, prediction, batch):
        assert loss.dim() == 0
        return loss + 0.01 * prediction.square().mean() * float(self.context.seeds[0] + 1)
    def on_gradients(self, parameters):
        torch.nn.utils.clip_grad_norm_(parameters.values(), 0.5)
        for p in parameters.values():
            p.grad = p.grad * 0.9
    def on_weights(self, parameters):
        with torch.no_grad():
            for name, p in parameters.items():
                mean = self._mean.setdefault(name, p.clone())
                mean.lerp_(p, 0.5)
                p.lerp_(mean, 0.1)
    def on_epoch(self, epoch, metrics):
        self._epochs += 1
        return metrics["valid_loss"] < 0.0 if self._epochs < 2 + self.context.seeds[0] else metrics["valid_loss"] > 0.0

def loss(prediction, target):
    wrong = (torch.nn.functional.one_hot(target, 3) - prediction).square()
    return wrong.mean() * (2.0 if wrong.sum().item() > 10 else 1.0)

def share(prediction, target):
    return (prediction.argmax(1) == target).float().mean().item()
"""
    )
    chosen = settings(
        tricks=(Choice("trick", None, "hooks_of_one:Own", {"by": 0.2}),),
        loss=Choice("loss", None, "hooks_of_one:loss", {}),
        metrics=(Choice("metric", None, "hooks_of_one:share", {}),),
        precision="float64",
        epochs=5,
    )
    together = run(chosen, folder=tmp_path)
    assert together.facts.stack == [list(SEEDS)]
    assert together.facts.notes[0].kind == "loss_not_vmapped"
    assert [together.outcomes[seed].epoch for seed in SEEDS] == [2, 3, 4, 5, 5]
    assert_same(together, run(chosen, folder=tmp_path, stack="off"), SEEDS)


def test_a_trick_or_optimizer_that_does_not_stack_says_why(settings, run, tmp_path):
    (tmp_path / "alone_only.py").write_text(
        """
from torch.optim import SGD
from ablate import Trick

class Alone(Trick):
    stacks = "it looks at all weights at once"
    def on_batch(self, batch, noise):
        return batch

class Normed(SGD):
    pass

class Own(Trick):
    def on_data(self, data):
        keep = 10 + self.context.seeds[0]
        train = type(data.train)(data.train.inputs[:keep], data.train.targets[:keep])
        return data.with_train(train)
"""
    )
    for fields, reason in (
        ({"tricks": (Choice("trick", None, "alone_only:Alone", {}),)}, "looks at all weights at once"),
        ({"optimizer": Choice("optimizer", None, "alone_only:Normed", {"lr": 0.1})}, "alone_only:Normed"),
        ({"tricks": (Choice("trick", None, "alone_only:Own", {}),)}, "tricks change the data"),
    ):
        report = run(settings(**fields), folder=tmp_path)
        assert report.facts.stack == [[seed] for seed in SEEDS]
        assert reason in report.facts.notes[0].values["reason"]
        assert_same(report, run(settings(**fields), (4,), folder=tmp_path), (4,))
    torchs = settings(optimizer=Choice("optimizer", None, "torch.optim:RMSprop", {"lr": 0.01}), precision="float64")
    report = run(torchs)
    assert report.facts.stack == [list(SEEDS)]
    assert_same(report, run(torchs, stack="off"), SEEDS)


def test_every_line_has_its_own_seeds_numbers(full, run):
    five = run(full("mlp"))
    for seed in SEEDS:
        outcome = five.outcomes[seed]
        losses = [line["valid_loss"] for line in five.lines[seed]]
        assert outcome.epoch == len(losses)
        assert outcome.best_epoch == int(np.argmin(losses)) + 1
        assert outcome.results["selected"]["valid_loss"] == min(losses)
        assert outcome.results["last"]["valid_loss"] == losses[-1]
