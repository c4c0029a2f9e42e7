"""Separable convolutions: the counts of the papers, what is computed, where initial values come from."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from ablate.registry import lookup
from ablate.tricks.separable import split
from ablate.tricks.trick import NoEffect

SEPARABLE = lookup("trick", "separable").settings


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2),
        nn.Conv2d(4, 6, (3, 1), padding="same", bias=False),
        nn.Conv3d(4, 2, 2),
    ],
)
def test_two_convolutions_of_the_same_shape_and_fewer_parameters(layer):
    both = split(layer.double())
    window = layer.weight[0, 0].numel()
    assert parameters(both) == 4 * window + 4 * layer.out_channels + (layer.bias is not None) * layer.out_channels
    x = torch.rand(2, 4, *(9,) * (layer.weight.dim() - 2), dtype=torch.float64)
    assert both(x).shape == layer(x).shape
    # the two together are one convolution whose kernels are products
    depth, point = both.depthwise.weight, both.pointwise.weight
    whole = (point.flatten(1)[:, :, None] * depth.flatten(1)[None]).reshape(layer.weight.shape)
    product = type(layer)(
        4, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation
    ).double()
    with torch.no_grad():
        product.weight.copy_(whole)
        product.bias.copy_(layer.bias if layer.bias is not None else torch.zeros(layer.out_channels))
    torch.testing.assert_close(both(x), product(x))


@pytest.mark.parametrize("name", ["he_normal", "xavier_uniform", "default"])
def test_the_signal_keeps_its_variance(name):
    layer = nn.Conv2d(256, 200, 3, bias=False)
    lookup("init", name).settings().apply(nn.Sequential(OrderedDict(conv=layer)), 0)
    x = torch.randn(4, 256, 10, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = layer(x).var().item(), split(layer)(x).var().item()
    assert after == pytest.approx(before, rel=0.15)


def test_the_first_convolution_and_others_that_cannot_be_split_stay():
    model = nn.Sequential(
        OrderedDict(
            first=nn.Conv2d(1, 4, 3),
            second=nn.Conv2d(4, 4, 3),
            point=nn.Conv2d(4, 4, 1),
            grouped=nn.Conv2d(4, 4, 3, groups=2),
            third=nn.Conv2d(4, 8, 3),
        )
    )
    for first, expected in ((False, ["second", "third"]), (True, ["first"])):
        model, changed = SEPARABLE(first=first).on_model(model)
        assert changed == expected
    with pytest.raises(NoEffect, match="separable has no effect"):
        SEPARABLE(first=True).on_model(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Linear(3, 2)))


def test_it_counts_on_the_meta_device():
    with torch.device("meta"):
        model = lookup("model", "convnet").settings(channels=[32, 64], hidden=[10]).build((1, 20, 20), 3)
        before = parameters(model)
        model, _ = SEPARABLE().on_model(model)
    assert before - parameters(model) == 32 * 64 * 9 - (32 * 9 + 32 * 64)
    assert all(p.is_meta for p in model.parameters())
