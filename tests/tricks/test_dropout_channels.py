"""Dropout of whole channels: places, rates, survivors, volumes apart from pictures."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from ablate.data.dataset import Spec
from ablate.layers.dropout import noisy_layers
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, NoEffect

SPEC = Spec((8, 8, 8), 4, "classification")


def network(dimensions=2):
    pool = getattr(nn, f"MaxPool{dimensions}d")
    layers = OrderedDict(pool1=pool(2), act=nn.ReLU(), pool2=pool(2), flatten=nn.Flatten())
    return nn.Sequential(layers)


def operated(name, model, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(SPEC, (0,), 3, 10))
    model, changed = trick.on_model(model)
    for layer_name, layer in noisy_layers(model).items():
        layer.bind(Noise((0,), f"dropout/{layer_name}"))
    return model.train(), changed, trick


@pytest.mark.parametrize(("name", "dimensions"), [("dropout2d", 2), ("dropout3d", 3)])
def test_whole_channels_are_dropped_and_the_others_scaled(name, dimensions):
    model, changed, _ = operated(name, network(dimensions), rate=[0.25, 0])
    assert changed == [f"pool1_{name}"]
    x = torch.rand(500, 8, *(8 for _ in range(dimensions)), dtype=torch.float64) + 1
    out = model.get_submodule(changed[0])(x)
    factor = (out / x).round(decimals=9).flatten(2)
    assert (factor == factor[:, :, :1]).all(), "all places of a channel are dropped together"
    assert set(factor.flatten().tolist()) == {0.0, round(1 / 0.75, 9)}
    assert (factor[:, :, 0] == 0).double().mean() == pytest.approx(0.25, abs=0.03)
    assert factor.mean() == pytest.approx(1, abs=0.04)
    assert torch.equal(model.eval().get_submodule(changed[0])(x), x)


def test_it_stands_beside_dropout_of_hidden_layers():
    model, changed, _ = operated("dropout2d", network(), rate=0.1)
    assert changed == ["pool1_dropout2d", "pool2_dropout2d"]
    assert list(model._modules) == ["pool1", "pool1_dropout2d", "act", "pool2", "pool2_dropout2d", "flatten"]


def test_rates_in_time_are_followed():
    model, _, trick = operated("dropout2d", network(), rate=[{"linear": [0, 0.4], "per": "epoch"}, 0.3])
    for step, rate in ((0, 0), (10, 0.2), (29, 0.4)):
        trick.now.set(step)
        assert [layer.present() for layer in noisy_layers(model).values()] == pytest.approx([rate, 0.3])


def test_pools_of_other_dimensions_are_not_its_own():
    with pytest.raises(
        NoEffect, match=r"dropout3d has no effect: the network has no 3D pooling layer in an nn\.Sequential"
    ):
        operated("dropout3d", network(2))
    with pytest.raises(NoEffect, match="dropout2d has no effect: all probabilities are 0"):
        operated("dropout2d", network(2), rate=0)
    with pytest.raises(
        ValueError,
        match=r"dropout2d\.rate \(=\[0\.1\]\) must be a number, or a list of length 2 with one number per pooling layer",
    ):
        operated("dropout2d", network(2), rate=[0.1])
