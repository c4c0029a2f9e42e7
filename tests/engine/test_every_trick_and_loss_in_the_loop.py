"""Every trick and loss of the registry in the training loop: with batches of one sample, gaps, folds, in a stack …

The settings are those of `Trick.examples`; a trick that is registered tomorrow is trained here the same day.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ablate.data.dataset import Keypoints, Part, Parts, Spec
from ablate.data.split import Fold, in_fold
from ablate.engine.training import train
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Choice
from ablate.registry import entries, lookup
from ablate.tricks.trick import NoEffect

MINE = """
from collections import OrderedDict
from torch import nn
from ablate.layers.branches import ResidualBlock

class First(nn.Module):
    def __init__(self, writes):
        super().__init__()
        self.writes = writes
    def forward(self, x):
        return x.sub_(0.5) if self.writes else x - 0.5

def pictures(outputs, dropout=0.0, volumes=False, writes=False):
    conv, pool = (nn.Conv3d, nn.MaxPool3d) if volumes else (nn.Conv2d, nn.MaxPool2d)
    return nn.Sequential(OrderedDict(
        first=First(writes), conv1=conv(1, 4, 3), norm1=nn.GroupNorm(2, 4), conv_act1=nn.ReLU(), pool1=pool(2),
        block1=ResidualBlock(nn.Sequential(OrderedDict(conv=conv(4, 4, 3, padding=1)))),
        flatten=nn.Flatten(), hidden1=nn.Linear(108 if volumes else 36, 8), hidden_act1=nn.ReLU(), drop=nn.Dropout(dropout),
        output=nn.Linear(8, outputs),
    ))

def masks(outputs, writes=False):
    return nn.Sequential(OrderedDict(first=First(writes), conv1=nn.Conv2d(1, outputs, 3, padding=1)))
"""

SPECS = {
    "images": Spec((1, 8, 8), 4, "regression", keypoints=Keypoints(((0, 1),), ("left", "right"), 4.0, 4.0, 8)),
    "numbers": Spec((1, 8, 8), 4, "regression"),
    "classes": Spec((1, 8, 8), 4, "classification", classes=tuple("abcd")),
    "volumes": Spec((1, 8, 8, 8), 4, "regression"),
    "masks": Spec((1, 8, 8), 3, "other", classes=tuple("abc"), places=(8, 8)),
}
"""By the values of `Trick.example_needs`, and masks."""
SPECS |= {"epochs": SPECS["images"], "dropout": SPECS["images"]}


def make_data(spec: Spec, gaps: bool = False) -> Parts:
    """9 training samples and 5 for validation."""
    draw = torch.Generator().manual_seed(0)

    def part(n: int) -> Part:
        inputs = torch.rand(n, *spec.input_shape, generator=draw)
        if spec.classes:
            targets = (torch.rand(n, *spec.places, generator=draw) ** 2 * len(spec.classes)).long()
        else:
            targets = torch.rand(n, spec.outputs, generator=draw)
            if gaps:
                targets[1] = math.nan
                targets[3:, :2] = math.nan
        return Part(inputs, targets)

    return Parts(part(9), part(5), spec)


WAYS = {
    "batches of one": {"batch_size": 1},
    "a last batch of one": {"batch_size": 4},
    "two batches a step": {"batch_size": 2, "tricks": (("accumulate", {"batches": 2}),)},
    "gaps": {"batch_size": 3},
    "folds": {"batch_size": 4},
}

SPECS_OF_CLASSES = [entry.name for entry in entries("trick") if entry.settings.example_needs == "classes"]

REFUSED: dict[tuple[str, str], str] = {
    ("accumulate", "two batches a step"): "",
    **{(name, "gaps"): "" for name in SPECS_OF_CLASSES},
    **{("batch_norm", way): "batch norm requires two" for way in WAYS if way != "gaps"},
}
"""Combinations that raise an error, with a part of it; "" for those that do not exist."""

TRICKS = [(entry.name, fields) for entry in entries("trick") for fields in entry.settings.examples]
each_trick = pytest.mark.parametrize(("name", "fields"), [pytest.param(*case, id=case[0]) for case in TRICKS])


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "looped.py").write_text(MINE)
    draw = torch.Generator().manual_seed(5)
    shapes = {"conv1.weight": (4, 1, 3, 3), "hidden1.weight": (8, 36), "hidden1.bias": (8,)}
    weights = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    torch.save(weights, tmp_path / "weights.pt")
    return tmp_path


@pytest.fixture
def trained(mine, settings, assign, make_choice, heard):
    """Train a trick or a loss on data; returns each seed's lines without times."""

    def run(data, *, seeds=(0,), stack=3, network=(), tricks=(), **fields):
        given = [trick(name, options, mine) for name, options in tricks]
        source = Choice("data", None, "looped:data", {})
        options = {"volumes": True} if len(data.spec.input_shape) == 4 else {}
        model = Choice(
            "model", None, "looped:masks" if data.spec.places else "looped:pictures", options | dict(network)
        )
        loss = make_choice("loss", "cross_entropy" if data.spec.classes else "mse")
        optimizer = make_choice("optimizer", "sgd", lr=0.005)
        init = make_choice("init", "default")
        chosen = settings(
            **{
                "data": source,
                "model": model,
                "loss": loss,
                "init": init,
                "optimizer": optimizer,
                "epochs": 2,
                "stack": stack,
            }
            | fields
        )
        for choice in given:
            chosen = choice.options.on_settings(chosen)
        chosen = chosen.replace(tricks=tuple(sorted(given, key=lambda choice: choice.options.order)))
        report = heard()
        train(replace(assign(chosen), seeds=seeds, folder=mine), data, report)
        times = ("time", "seconds")
        return [
            [{k: v for k, v in line.items() if k not in times} for line in lines] for lines in report.lines.values()
        ]

    return run


def trick(name, fields, folder):
    given = {key: str(folder / value) if value == "weights.pt" else value for key, value in fields.items()}
    return Choice("trick", name, None, lookup("trick", name).settings.model_validate(given))


def world(name):
    needs = lookup("trick", name).settings.example_needs
    network = {"dropout": 0.5} if needs == "dropout" else {}
    return SPECS[needs], network, {"epochs": 3} if needs == "epochs" else {}


@pytest.mark.parametrize("way", WAYS)
@each_trick
def test_a_trick_trains_to_finite_losses(name, fields, way, trained):
    spec, network, more = world(name)
    data = make_data(spec, gaps=way == "gaps")
    if way == "folds":
        data = in_fold(data, Fold(Folds(3), 1), 0, "data")
    kept = [tensor.clone() for part in (data.train, data.valid) for tensor in part.tensors]
    given = dict(WAYS[way])
    tricks = [*given.pop("tricks", ()), (name, fields)]
    refused = REFUSED.get((name, way))
    if refused == "":
        return
    if refused is not None:
        with pytest.raises((ValueError, NoEffect), match=refused):
            trained(data, network=network, tricks=tricks, **given, **more)
        return
    (lines,) = trained(data, network=network, tricks=tricks, **given, **more)
    assert lines
    for line in lines:
        assert math.isfinite(line["train_loss"]), line
        assert math.isfinite(line["valid_loss"]), line
    now = [tensor for part in (data.train, data.valid) for tensor in part.tensors]
    assert all(torch.equal(a.nan_to_num(9), b.nan_to_num(9)) for a, b in zip(kept, now, strict=True))


@pytest.mark.slow
@each_trick
def test_a_trick_trains_in_a_stack_as_alone(name, fields, trained):
    spec, network, more = world(name)
    given = {"network": network, "tricks": [(name, fields)], "batch_size": 5, **more}
    together = trained(make_data(spec), seeds=(0, 1, 2), **given)
    (alone,) = trained(make_data(spec), seeds=(2,), **given)
    same(together[2], alone)


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-6)


@each_trick
def test_a_trick_trains_with_a_network_that_writes_to_its_inputs(name, fields, trained):
    spec, network, more = world(name)
    ran = [
        trained(make_data(spec), network=network | {"writes": writes}, tricks=[(name, fields)], batch_size=5, **more)
        for writes in (False, True)
    ]
    assert ran[0] == ran[1]


EXAMPLES = {"multi_task": {"tasks": [{"outputs": 2}, {"outputs": 2, "weight": 0.5}]}}
WRITES = pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["one", "stack"])


@pytest.mark.slow
@WRITES
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [entry.name for entry in entries("loss") if not entry.settings.any_targets])
def test_a_loss_trains_with_a_network_that_writes_to_its_inputs(name, way, seeds, trained, make_choice):
    """In every way; a seed of a stack has the numbers that it has alone."""
    loss = make_choice("loss", name, **EXAMPLES.get(name, {}))
    spec = next(spec for spec in SPECS.values() if fits(loss, spec))
    given = dict(WAYS[way])
    data = make_data(spec, gaps=way == "gaps")
    if way == "folds":
        data = in_fold(data, Fold(Folds(3), 1), 0, "data")
    ran = [trained(data, loss=loss, seeds=seeds, network={"writes": writes}, **given) for writes in (False, True)]
    assert ran[0] == ran[1]
    for lines in ran[0]:
        assert all(math.isfinite(line["train_loss"] + line["valid_loss"]) for line in lines)
    if len(seeds) > 1:
        (alone,) = trained(data, loss=loss, seeds=seeds[-1:], **given)
        same(ran[0][-1], alone)


def fits(loss, spec):
    """Whether a loss can be computed for this data."""
    try:
        loss.options.check(loss.name, spec)
    except ValueError:
        return False
    return True
