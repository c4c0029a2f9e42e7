"""Norms by surgery: axes against torch and NumPy, places, names, what is replaced by what."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.dataset import Spec
from ablate.layers.branches import ResidualBlock
from ablate.registry import lookup
from ablate.tricks.trick import Context, NoEffect

SPEC = Spec((3, 8, 8), 4, "classification")
NAMES = ["batch_norm", "layer_norm", "instance_norm", "group_norm"]


def network(norm=None):
    layers = OrderedDict(conv1=nn.Conv2d(3, 6, 3))
    if norm is not None:
        layers["norm1"] = norm
    layers |= OrderedDict(
        act1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        block1=ResidualBlock(nn.Sequential(OrderedDict(conv2=nn.Conv2d(6, 6, 3, padding=1)))),
        flatten=nn.Flatten(),
        hidden1=nn.Linear(54, 6),
        act2=nn.ReLU(),
        output=nn.Linear(6, 4),
    )
    return nn.Sequential(layers)


def operated(name, model, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(SPEC, (0,), 1, 1))
    return trick.on_model(model)


def standardised(x, axes):
    x = x.detach().numpy()
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def grouped(x, groups):
    return x.reshape(len(x), groups, -1, *x.shape[2:])


AXES = {
    "batch_norm": lambda x: standardised(x, (0, 2, 3)),
    "layer_norm": lambda x: standardised(x, (1, 2, 3)),
    "instance_norm": lambda x: standardised(x, (2, 3)),
    "group_norm": lambda x: standardised(grouped(x, 2), (2, 3, 4)).reshape(x.shape),
}


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_over_the_axes_that_it_says(name):
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64) * 3 + 1
    model = network().double()
    model, _ = operated(name, model, **({"groups": 2} if name == "group_norm" else {}))
    before = model.conv1(x)
    np.testing.assert_allclose(model.conv1_norm(before).detach().numpy(), AXES[name](before), atol=1e-12)


@pytest.mark.parametrize(("name", "axes"), [("batch_norm", 0), ("layer_norm", 1)])
def test_statistics_of_hidden_layers(name, axes):
    x = torch.randn(5, 54, dtype=torch.float64)
    model, _ = operated(name, network().double())
    before = model.hidden1(x)
    np.testing.assert_allclose(model.hidden1_norm(before).detach().numpy(), standardised(before, (axes,)), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_they_stand_behind_all_convolutions_and_hidden_layers_but_not_the_last(name):
    plain = network()
    state = {key: value.clone() for key, value in plain.state_dict().items()}
    model, changed = operated(name, plain)
    hidden = [] if name == "instance_norm" else ["hidden1_norm"]
    assert changed == ["conv1_norm", *hidden, "block1.branch.conv2_norm"]
    order = list(model._modules)
    assert order.index("conv1_norm") == order.index("conv1") + 1
    assert "output_norm" not in order
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert model(torch.randn(5, 3, 8, 8)).shape == (5, 4)


OLD = {
    "batch_norm": lambda: nn.BatchNorm2d(6),
    "layer_norm": lambda: nn.GroupNorm(1, 6),
    "instance_norm": lambda: nn.InstanceNorm2d(6, affine=True),
    "group_norm": lambda: nn.GroupNorm(3, 6),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_any_norm_is_swapped_for_any_other_under_its_name(name, other):
    old = OLD[other]()
    with torch.no_grad():
        old.weight.copy_(torch.arange(1.0, 7.0))
        old.bias.fill_(0.5)
    model, changed = operated(name, network(old), where="conv", **({"groups": 3} if name == "group_norm" else {}))
    assert ("norm1" in changed) == (name != other)
    assert type(model.norm1) is type(OLD[name]())
    assert getattr(model.norm1, "num_groups", 0) == getattr(OLD[name](), "num_groups", 0)
    assert torch.equal(model.norm1.weight, torch.arange(1.0, 7.0))
    assert torch.equal(model.norm1.bias, torch.full((6,), 0.5))
    assert "conv1_norm" not in model._modules
    assert model(torch.randn(5, 3, 8, 8)).shape == (5, 4)


class TheirBlock(nn.Module):
    """A block as torchvision writes them, which is no Sequential."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.conv2(torch.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


def test_in_other_modules_norms_are_replaced_and_added():
    model, changed = operated("group_norm", TheirBlock())
    assert changed == ["bn1", "conv2.norm"]
    assert isinstance(model.bn1, nn.GroupNorm)
    assert model.bn1.num_groups == 4
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 2)


def test_groups_divide_the_channels():
    model, _ = operated("group_norm", network())
    assert model.conv1_norm.num_groups == 2  # gcd(32, 6)
    model, _ = operated("group_norm", network(), groups=3)
    assert model.conv1_norm.num_groups == 3


def test_a_norm_of_volumes_and_signals_has_its_dimensions():
    for conv, kind in ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv3d, nn.BatchNorm3d)):
        model = nn.Sequential(OrderedDict(conv1=conv(1, 2, 1), conv2=conv(2, 2, 1)))
        model, changed = operated("batch_norm", model)
        assert changed == ["conv1_norm"]
        assert type(model.conv1_norm) is kind


def test_where_chooses():
    assert operated("layer_norm", network(), where="hidden")[1] == ["hidden1_norm"]
    assert operated("layer_norm", network(), where="conv")[1] == ["conv1_norm", "block1.branch.conv2_norm"]
    with pytest.raises(NoEffect, match="instance_norm has no effect: the network has no suitable"):
        operated("instance_norm", network(), where="hidden")


def test_the_same_twice_changes_nothing():
    model, _ = operated("batch_norm", network())
    with pytest.raises(NoEffect, match="batch_norm has no effect: the network already has these norms"):
        operated("batch_norm", model)


def test_norms_are_put_in_before_dropout():
    assert lookup("trick", "batch_norm").settings.order < lookup("trick", "dropout").settings.order


def test_it_works_on_the_meta_device():
    with torch.device("meta"):
        model = network(nn.BatchNorm2d(6))
    for name in NAMES:
        model, _ = operated(name, model)
        assert all(p.is_meta for p in model.parameters())
