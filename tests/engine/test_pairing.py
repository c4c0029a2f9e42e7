"""A custom loss or metric that compares every prediction with every target, because shapes broadcast, is refused."""

from __future__ import annotations

import pytest
import torch

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.recipe.settings import Choice

MINE = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 1), nn.BatchNorm1d(1)
    def forward(self, x):
        return self.norm(self.layer(x))[:, 0]

class Column(Flat):
    def forward(self, x):
        return self.layer(x)

def plain(prediction, target):
    return (prediction - target).square().mean()

def careful(prediction, target):
    return (prediction.flatten() - target.flatten()).square().mean()

def picky(prediction, target):
    return (prediction - target[:, 0]).square().mean()

def likelihood(prediction, target):
    return (prediction - target.exp()).abs().log1p().sum()
"""


@pytest.fixture
def assembled(settings, make_choice, tmp_path):
    (tmp_path / "pairing.py").write_text(MINE)

    def own(kind, name):
        return Choice(kind, None, f"pairing:{name}", {})

    def make(model, loss, metric=None, *, classes=False, shift=0.0, seeds=(0,)):
        draw = torch.Generator().manual_seed(0)
        targets = torch.randn(12, 1, generator=draw) + shift
        targets = (targets[:, 0] > 0).long() if classes else targets
        part = Part(torch.randn(12, 3, generator=draw), targets)
        chosen = settings(
            model=own("model", model) if model in MINE else make_choice("model", model),
            loss=own("loss", loss) if loss in MINE else make_choice("loss", loss),
            metrics=(own("metric", metric),) if metric else (),
            init=make_choice("init", "default"),
        )
        spec = Spec((3,), 1, "classification" if classes else "regression")
        return assemble(Assignment(chosen, seeds, tmp_path), Parts(part, part, spec))

    return make


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["alone", "stack"])
@pytest.mark.parametrize("shift", [0.0, 1e5])
@pytest.mark.parametrize("loss", ["plain", "likelihood"])
def test_predictions_of_one_axis_and_targets_of_two(assembled, loss, shift, seeds):
    with pytest.raises(
        ValueError, match=rf"^loss \(=pairing:{loss}\) compares every prediction with every target"
    ) as error:
        assembled("Flat", loss, shift=shift if loss == "plain" else 0.0, seeds=seeds)
    assert "shape (12,) and targets of shape (12, 1)" in str(error.value)
    assert "\n" not in str(error.value)


def test_predictions_of_two_axes_and_classes_of_one(assembled):
    with pytest.raises(ValueError, match=r"shape \(12, 1\) and targets of shape \(12,\)"):
        assembled("Column", "plain", classes=True)


@pytest.mark.parametrize("metric", ["plain", "likelihood"])
def test_metrics_too(assembled, metric):
    with pytest.raises(ValueError, match=rf"^metric \(=pairing:{metric}\) compares every prediction with every target"):
        assembled("Flat", "careful", metric)


@pytest.mark.parametrize("shift", [0.0, 1e5])
@pytest.mark.parametrize(
    ("model", "loss"), [("Flat", "careful"), ("Flat", "picky"), ("Column", "plain"), ("mlp", "plain")]
)
def test_what_compares_pairs_is_fine(assembled, model, loss, shift):
    assembly = assembled(model, loss, loss, shift=shift)
    assert all(int(tensor) == 0 for name, tensor in assembly.network.named_buffers() if "num_batches" in name)
    assert assembly.network.training


def test_a_built_in_loss_refuses_such_shapes_itself(assembled):
    loss = assembled("Column", "mse").loss
    with pytest.raises(ValueError, match=r"same shape, but they are \(4,\) and \(4, 1\)"):
        loss(torch.zeros(4), torch.zeros(4, 1))
