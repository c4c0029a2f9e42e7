"""Activations for the settings of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "prelu", "rrelu", "elu", "gelu", "silu"]

CLASSES: dict[Activation, str] = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
}


def activation(name: Activation) -> nn.Module:
    """A new activation layer with torch's default settings.

    The engine keys the random numbers of ``rrelu`` by the seed.
    """
    layer: nn.Module = getattr(torch.nn, CLASSES[name])()
    return layer
