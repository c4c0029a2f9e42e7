"""The activations that a network's settings may name."""

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
    """A new layer of that activation, with torch's own settings. The engine lets a seed's own noise drive ``rrelu``."""
    layer: nn.Module = getattr(torch.nn, CLASSES[name])()
    return layer
