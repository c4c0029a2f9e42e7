"""What custom code writes in place changes nothing but its own result: the same numbers as without writing, by every path on which it is given tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.engine.training import train
from ablate.recipe.settings import Choice
from ablate.registry import lookup

ACCURACY = Choice("metric", "accuracy", None, lookup("metric", "accuracy").settings())

MINE = """
from dataclasses import replace
import torch
from torch import nn
from ablate import Trick

class Net(nn.Module):
    def __init__(self, writes):
        super().__init__()
        self.writes, self.layers = writes, nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    def forward(self, x):
        return self.layers(x.sub_(0.5).mul_(3) if self.writes else (x - 0.5) * 3)

def flat(writes):
    return nn.Sequential(nn.ReLU6(inplace=writes), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(inplace=writes), nn.Linear(8, 3))

def loss(prediction, target, writes):
    if not writes:
        return nn.functional.cross_entropy(prediction * 2, 2 - target)
    target *= -1
    return nn.functional.cross_entropy(prediction.mul_(2), target.add_(2))

def share(prediction, target, writes):
    hit = (prediction.argmax(1) == target).double().mean()
    if writes:
        prediction.zero_()
        target.fill_(0)
    return hit

class Shift(Trick):
    writes: bool = False
    def on_batch(self, batch, noise):
        return replace(batch, inputs=batch.inputs.add_(0.1) if self.writes else batch.inputs + 0.1)
    def on_data(self, data):
        inputs = data.train.inputs.mul_(1.1) if self.writes else data.train.inputs * 1.1
        return data.with_train(replace(data.train, inputs=inputs))
    def on_loss(self, loss, prediction, batch):
        return loss + (batch.inputs.mul_(0) if self.writes else batch.inputs * 0).sum() + 0 * batch.targets.fill_(0).sum()
    def on_predict(self, network, predict, inputs, batch):
        return predict(inputs.add_(0.1) if self.writes else inputs + 0.1)
"""


def own(kind, name, writes):
    return Choice(kind, None, f"lent_code:{name}", {"writes": writes})


CASES = {
    "model": lambda writes: {"model": own("model", "Net", writes)},
    "first layer": lambda writes: {"model": own("model", "flat", writes)},
    "loss": lambda writes: {"loss": own("loss", "loss", writes)},
    "metric": lambda writes: {"metrics": (own("metric", "share", writes), ACCURACY)},
    "trick": lambda writes: {"tricks": (own("trick", "Shift", writes),)},
}


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "lent_code.py").write_text(MINE)
    return tmp_path


WAYS = {
    "alone": {},
    "in the data's order": {"shuffle": False},
    "streamed": {"loader": "streamed"},
    "in one batch": {"batch_size": 40},
    "two passes": {"tricks": (("sam", {"rho": 0.1}),)},
    "two batches a step": {"tricks": (("accumulate", {"batches": 2}),)},
    "averaged weights": {"tricks": (("ema", {"decay": 0.5}),)},
    "looked at": {"watch": (("activation_variance", {}), ("confidence", {})), "clean_train_loss": "every"},
    "fitted to the data": {"init": ("lsuv", {})},
}


@pytest.mark.parametrize("seeds", [(0,), pytest.param((0, 1, 2), marks=pytest.mark.slow)], ids=["one", "stack"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_writing_in_place_changes_nothing_else(case, way, seeds, mine, settings, pictures, assign, make_choice, heard):
    kinds = {"tricks": "trick", "watch": "watch", "init": "init"}
    given = {
        key: tuple(make_choice(kinds[key], name, **options) for name, options in value)
        if key in ("tricks", "watch")
        else make_choice(kinds[key], value[0], **value[1])
        if key == "init"
        else value
        for key, value in WAYS[way].items()
    }
    before = {name: (part.inputs.clone(), part.targets.clone()) for name, part in parts(pictures)}
    lines = []
    for writes in (False, True):
        own = CASES[case](writes)
        fields = {**given, **own, "tricks": (*own.get("tricks", ()), *given.get("tricks", ()))}
        report = heard()
        assignment = replace(assign(settings(stack=len(seeds), **fields)), seeds=seeds, folder=mine)
        train(assignment, pictures, report)
        told = [line for each in report.lines.values() for line in each]
        lines.append([{key: value for key, value in line.items() if key not in ("time", "seconds")} for line in told])
    assert lines[0] == lines[1]
    for name, part in parts(pictures):
        assert torch.equal(part.inputs, before[name][0]), name
        assert torch.equal(part.targets, before[name][1]), name


def parts(data):
    return [("train", data.train), ("valid", data.valid)]
