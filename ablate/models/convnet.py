"""Convolutions and pools, then fully connected layers."""

from __future__ import annotations

from collections import OrderedDict
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from ablate.models.activation import Activation, activation
from ablate.models.mlp import Width, dense_layers
from ablate.models.model import Model
from ablate.models.size import check_memory, convolution_parameters, dense_parameters
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

PoolSide = Annotated[int, Field(ge=0)]


@register(
    "model",
    "convnet",
    card=Card(
        "Convolutions with max pools, then fully connected layers.",
        source="LeCun et al. 1998, Gradient-based learning applied to document recognition",
        helps="Pictures, signals and volumes: what is learned in one place holds in all.",
        costs="More computing per parameter than an mlp; most parameters sit in the first fully connected layer.",
    ),
)
class Convnet(Model):
    """``conv1``, ``norm1``, ``conv_act1``, ``pool1``, …, ``flatten``, ``hidden1``, ``hidden_act1``, …, ``output``.

    Samples (C, L), (C, H, W) or (C, D, H, W). Max pools of their own side as stride; what does not fill a pool is cut off.
    """

    channels: tuple[Width, ...] = Field(default=(32, 64), min_length=1, description="channels of each convolution")
    kernels: Width | tuple[Width, ...] = Field(
        default=3, description="side of the kernels: of all, or of each convolution"
    )
    pools: PoolSide | tuple[PoolSide, ...] = Field(
        default=2, description="side of the max pool after all, or after each convolution; 0 or 1: none"
    )
    hidden: tuple[Width, ...] = Field(
        default=(100,), description="units of each fully connected layer before the output"
    )
    activation: Activation = Field(default="relu", description="after convolutions and hidden layers")
    padding: Literal["none", "same"] = Field(
        default="none",
        description="none: each convolution shrinks the picture by kernel - 1; same: zeros keep its size",
    )
    batch_norm: bool = Field(default=False, description="normalise each convolution's channels over the batch")

    def each(self, field: Literal["kernels", "pools"]) -> tuple[int, ...]:
        """The numbers of a field, one for each convolution."""
        value: int | tuple[int, ...] = getattr(self, field)
        return value if isinstance(value, tuple) else (value,) * len(self.channels)

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        sides = self.sides(input_shape)
        dimensions = len(input_shape) - 1
        channels = (input_shape[0], *self.channels)
        widths = (channels[-1] * prod(sides), *self.hidden, outputs)
        check_memory(
            "model.channels", list(self.channels), convolution_parameters(channels, self.each("kernels"), dimensions)
        )
        check_memory("model.hidden", list(self.hidden), dense_parameters(widths))

        convolution = getattr(torch.nn, f"Conv{dimensions}d")
        norm = getattr(torch.nn, f"BatchNorm{dimensions}d")
        max_pool = getattr(torch.nn, f"MaxPool{dimensions}d")
        layers: dict[str, nn.Module] = {}
        for i, (kernel, pool) in enumerate(zip(self.each("kernels"), self.each("pools"), strict=True), start=1):
            padding = "same" if self.padding == "same" else 0
            layers[f"conv{i}"] = convolution(channels[i - 1], channels[i], kernel, padding=padding)
            if self.batch_norm:
                layers[f"norm{i}"] = norm(channels[i])
            layers[f"conv_act{i}"] = activation(self.activation)
            if pool > 1:
                layers[f"pool{i}"] = max_pool(pool)
        layers["flatten"] = torch.nn.Flatten()
        return torch.nn.Sequential(OrderedDict(layers | dense_layers(widths, self.activation, prefix="hidden_")))

    def sides(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The picture's sides after the last pool. Raises ValueError where a kernel or pool is larger than what is left."""
        if not 2 <= len(input_shape) <= 4:
            raise ValueError(
                f"model (=convnet) needs samples (C, L), (C, H, W) or (C, D, H, W); they have shape {input_shape}. Use the model mlp."
            )
        sides = input_shape[1:]
        for i, (kernel, pool) in enumerate(zip(self.each("kernels"), self.each("pools"), strict=True), start=1):
            left = "x".join(str(side) for side in sides)
            if self.padding == "none":
                if kernel > min(sides):
                    raise ValueError(
                        f"model.kernels (={kernel} in conv{i}) must be at most the {left} that is left of the picture. "
                        "Use smaller kernels or pools, fewer channels, or padding: same."
                    )
                sides = tuple(side - kernel + 1 for side in sides)
            left = "x".join(str(side) for side in sides)
            if pool > min(sides):
                raise ValueError(
                    f"model.pools (={pool} after conv{i}) must be at most the {left} that is left of the picture. "
                    "Use smaller kernels or pools, fewer channels, or padding: same."
                )
            sides = tuple(side // max(pool, 1) for side in sides)
        return sides

    @model_validator(mode="after")
    def equal_lengths(self) -> Self:
        for field in ("kernels", "pools"):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != len(self.channels):
                raise ValueError(
                    f"{field} (={list(value)}) must be one number, or one for each of the {len(self.channels)} channels (={list(self.channels)})."
                )
        return self
