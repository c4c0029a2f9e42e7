"""The receptive field by formula against the pixels that a unit's gradient reaches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ablate.models.receptive_field import receptive_field
from ablate.registry import lookup

CONVNET = lookup("model", "convnet").settings


def reached(layers, shape):
    """The extent, along each axis, of the pixels that the middle unit of the last layer depends on."""
    picture = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    out = layers.double()(picture)
    middle = tuple(side // 2 for side in out.shape[2:])
    out[(0, slice(None), *middle)].sum().backward()
    places = picture.grad[0].abs().sum(0).nonzero()
    return tuple((places.amax(0) - places.amin(0) + 1).tolist())


def averaging(model):
    """Positive weights and average pools: no gradient vanishes by chance."""
    layers = []
    for layer in model:
        if isinstance(layer, nn.Flatten):
            break
        if isinstance(layer, nn.MaxPool2d):
            layer = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.constant_(layer.bias, 0.1)
        layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    "model",
    [
        CONVNET(channels=[2, 3, 4], kernels=[3, 2, 2], hidden=[5]).build((1, 96, 96), 3),
        CONVNET(channels=[2, 3], kernels=[5, 3], pools=[0, 3], padding="same", hidden=[5]).build((1, 96, 96), 3),
        CONVNET(channels=[2, 3], kernels=3, pools=1, hidden=[5]).build((1, 96, 96), 3),
        nn.Sequential(
            nn.Conv2d(1, 2, (3, 5), stride=(1, 2), dilation=(2, 1)),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(2, 2, 3), nn.MaxPool2d(3, 2)),
        ),
    ],
    ids=["keypoints", "same", "no pools", "oblong"],
)
def test_equals_the_extent_of_the_gradient(model):
    flat = nn.Sequential(*(layer for part in model for layer in (part if isinstance(part, nn.Sequential) else [part])))
    assert receptive_field(model) == reached(averaging(flat), (1, 96, 96))


def test_the_keypoint_network_sees_so_many_pixels():
    with torch.device("meta"):
        model = CONVNET(channels=[32, 64, 128], kernels=[3, 2, 2]).build((1, 96, 96), 30)
    # 3, pool 4, +2: 6, pool 8, +4: 12, pool 16
    assert receptive_field(model) == (16, 16)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)


UNTOLD = [
    Residual(),
    nn.Sequential(Residual()),
    nn.Sequential(nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2, mode="bicubic")),
    nn.Sequential(nn.Flatten(), nn.Linear(4, 2)),
]


@pytest.mark.parametrize("model", UNTOLD, ids=["module", "inside", "upsampling", "dense"])
def test_none_where_layers_do_not_tell(model):
    assert receptive_field(model) is None


def test_dropout_and_norms_change_nothing():
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3))
    noisy = nn.Sequential(plain[0], nn.BatchNorm2d(2), nn.ReLU(), plain[1], nn.Dropout2d(), plain[2])
    assert receptive_field(noisy) == receptive_field(plain) == (8, 8)
