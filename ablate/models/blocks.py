"""Building blocks of convolutional networks for signals, images and volumes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import check_channels_first
from ablate.models.activation import Activation, activation
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn


def axes(model: str, input_shape: tuple[int, ...]) -> int:
    """The number of spatial axes of samples (C, L), (C, H, W) or (C, D, H, W). Raises ValueError for other shapes."""
    if not 2 <= len(input_shape) <= 4:
        raise ValueError(
            f"model (={model}) expects inputs of shape (C, L), (C, H, W) or (C, D, H, W), but got "
            f"{input_shape}. Use the model mlp."
        )
    check_channels_first(input_shape, f"model (={model})")
    return len(input_shape) - 1


def layer(name: str, dimensions: int, *arguments: Any, **settings: Any) -> nn.Module:
    """``layer("Conv", 2, …)`` is ``torch.nn.Conv2d(…)``."""
    made: nn.Module = getattr(torch.nn, f"{name}{dimensions}d")(*arguments, **settings)
    return made


def sequence(**layers: nn.Module) -> nn.Sequential:
    """A Sequential of layers by name."""
    return torch.nn.Sequential(OrderedDict(layers))


def convolution(
    dimensions: int,
    inputs: int,
    outputs: int,
    kernel: int,
    act: Activation | None,
    *,
    norm: bool,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """``conv``, ``norm`` and ``act``, each optional; zero padding keeps the size (÷ ``stride``).

    A convolution before a norm has no bias.
    """
    padding: int | str = "same" if stride == 1 else (kernel - 1) // 2
    layers = {
        "conv": layer(
            "Conv",
            dimensions,
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            bias=not norm,
        )
    }
    if norm:
        layers["norm"] = layer("BatchNorm", dimensions, outputs)
    if act is not None:
        layers["act"] = activation(act)
    return sequence(**layers)


def pyramid_pool(dimensions: int, bins: tuple[int, ...]) -> nn.Module:
    """Max pools to ``bins`` cells per side, flattened and concatenated: (N, C, …) → (N, C·Σ bins^dimensions).

    He et al. 2015, spatial pyramid pooling.
    """
    from ablate.layers.branches import Branches

    return Branches(
        {
            f"bins{side}": sequence(pool=layer("AdaptiveMaxPool", dimensions, side), flatten=torch.nn.Flatten())
            for side in bins
        }
    )


def check_side(model: str, sides: tuple[int, ...], halvings: int, field: str) -> None:
    """Raise ValueError if images are too small for the number of halvings."""
    if min(sides) < 2**halvings:
        shown = "x".join(str(side) for side in sides)
        raise ValueError(
            f"model.{field} ({halvings} halvings in {model}) must leave at least one pixel of the {shown} input. "
            f"Use fewer values in {field}."
        )
