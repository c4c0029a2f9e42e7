"""Real trainings of the engine: three seeds as a stack get what each gets alone, in float64, with many tricks on top of
each other.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.data.dataset import Keypoints, Part, Parts, Spec
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup

CLASSES = Spec((1, 8, 8), 3, "classification", ("a", "b", "c"))
POINTS = Spec((1, 8, 8), 4, "regression", keypoints=Keypoints(((0, 1),), ("left", "right"), 4.0, 4.0, 8))
MASKS = Spec((1, 8, 8), 3, "other")

SETS = {
    "augmentation": {
        **{key: {} for key in ("flip", "shift", "rotate", "scale", "crop", "brightness", "contrast", "colour_pca")},
        **{"cutout": {"pixels": 3}, "random_erasing": {}, "mixup": {}, "cutmix": {}, "noise": {}},
    },
    "targets": {"label_smoothing": {}, "class_weights": {}, "label_noise": {}, "train_fraction": {"share": 0.5}},
    "limits": {
        **{"clip_norm": {"limit": 0.3}, "clip_value": {"limit": 0.1}, "l1": {"rate": 0.001}, "max_norm": {"limit": 1}},
        **{"early_stop": {"patience": 1, "baseline": 1.09}},
    },
    "layers": {"group_norm": {"groups": 2}, "dropout": {}, "dropout2d": {}, "drop_path": {"rate": 0.5}},
    "wrong drop_path": {"drop_path": {"rate": 0.5, "wrong": True}, "batch_norm": {}, "whitening": {}},
    "instance": {"instance_norm": {}, "zero_center": {}},
    "layer": {"layer_norm": {"where": "conv"}, "standardise": {}},
}
NETWORKS = """
from collections import OrderedDict
from torch import nn
from ablate.layers.branches import ResidualBlock

def branch():
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 4, 3, padding=1), act=nn.ReLU()))

def residual(outputs):
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(1, 4, 3), act1=nn.ReLU(), block1=ResidualBlock(branch()), pool1=nn.MaxPool2d(2), block2=ResidualBlock(branch()),
        flatten=nn.Flatten(), hidden1=nn.Linear(36, 8), act2=nn.ReLU(), output=nn.Linear(8, outputs),
    ))

def pixelwise(outputs):
    return nn.Sequential(OrderedDict(conv1=nn.Conv2d(1, 4, 3, padding=1), act1=nn.ReLU(), output=nn.Conv2d(4, outputs, 1)))
"""


def choice(kind, name, **options):
    return Choice(kind, name, None, lookup(kind, name).settings.model_validate(options))


def parts(spec):
    draw = torch.Generator().manual_seed(1)

    def part(n):
        inputs = torch.rand(n, 1, 8, 8, generator=draw)
        if spec is CLASSES:
            return Part(inputs, torch.arange(n) % 3)
        if spec is MASKS:
            return Part(inputs, (inputs[:, 0] * 3).long())
        return Part(inputs, torch.rand(n, 4, generator=draw) * 2 - 1)

    return Parts(part(40), part(20), spec)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stacked_training_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def trained(report, folder, data, tricks, seeds, *, loss="cross_entropy", model="residual"):
    made = [choice("trick", name, **fields) for name, fields in tricks.items()]
    settings = Settings(
        data=choice("data", "digits"),
        model=Choice("model", None, f"stacked_training_networks:{model}", {}),
        init=choice("init", "xavier_uniform"),
        loss=choice("loss", loss),
        optimizer=choice("optimizer", "sgd", lr=0.05, momentum=0.9),
        batch_size=16,
        epochs=3,
        precision="float64",
        tricks=tuple(sorted(made, key=lambda trick: trick.options.order)),
    )
    train(Assignment(settings, seeds, folder), data, report)
    assert {outcome.status for outcome in report.outcomes.values()} == {"finished"}
    losses = [[(line["train_loss"], line["valid_loss"]) for line in report.lines[i]] for i in range(len(seeds))]
    return losses, report.facts.notes


@pytest.fixture
def compare(folder, heard):
    """Train three seeds as a stack and each alone, and the first without any trick."""

    def check(data, tricks, **fields):
        together, notes = trained(heard(), folder, data, tricks, (0, 1, 2), **fields)
        assert not notes, "nothing falls back to seed after seed"
        for i in range(3):
            [alone], _ = trained(heard(), folder, data, tricks, (i,), **fields)
            torch.testing.assert_close(torch.tensor(together[i]), torch.tensor(alone), rtol=1e-9, atol=1e-9)
        [plain], _ = trained(heard(), folder, data, {}, (0,), **fields)
        assert together[0] != plain

    return check


@pytest.mark.parametrize("name", SETS)
def test_of_classes(compare, name):
    compare(parts(CLASSES), SETS[name])


def test_of_keypoints(compare):
    compare(parts(POINTS), SETS["augmentation"], loss="mse")


def test_of_masks(compare):
    geometry = {
        key: {} for key in ("flip", "shift", "rotate", "scale", "crop", "cutmix", "label_smoothing", "class_weights")
    }
    compare(parts(MASKS), geometry, model="pixelwise")
