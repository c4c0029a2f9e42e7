"""Convolutional networks with fully connected layers at the end."""

from __future__ import annotations

from collections import OrderedDict
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from ablate.models.activation import Activation, activation
from ablate.models.blocks import axes, layer, pyramid_pool
from ablate.models.mlp import Width, dense_layers
from ablate.models.size import Sized, check_memory, convolution_parameters, dense_parameters, scaled
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

PoolSide = Annotated[int, Field(ge=0)]


@register(
    "model",
    "convnet",
    card=Card(
        "Convolutions with max pooling, then fully connected layers.",
        source="LeCun et al. 1998, Gradient-based learning applied to document recognition",
        helps="For images, signals and volumes: features apply at every position.",
        costs="More computation per parameter than an mlp; most parameters are in the first fully connected layer.",
    ),
)
class Convnet(Sized):
    """``conv1``, ``norm1``, ``conv_act1``, ``pool1``, …, ``flatten``, ``hidden1``, ``hidden_act1``, …, ``output``.

    Samples are (C, L), (C, H, W) or (C, D, H, W). The stride of a pool is its size; an incomplete window at the edge is
    dropped. ``pool: strided`` replaces pools by the stride of the convolutions (Springenberg et al. 2015, Striving for
    Simplicity), which keep an incomplete window.
    """

    channels: tuple[Width, ...] = Field(default=(32, 64), min_length=1, description="channels of each convolution")
    kernels: Width | tuple[Width, ...] = Field(default=3, description="kernel size: one number, or one per convolution")
    pools: PoolSide | tuple[PoolSide, ...] = Field(
        default=2, description="kernel size of max pooling: one number, or one per convolution; 0 or 1: none"
    )
    hidden: tuple[Width, ...] = Field(
        default=(100,), description="units of each fully connected layer before the output"
    )
    activation: Activation = Field(default="relu", description="activation after convolutions and hidden layers")
    padding: Literal["none", "same"] = Field(
        default="none",
        description="none: each convolution reduces the image size by kernel - 1; same: zero padding keeps it",
    )
    batch_norm: bool = Field(default=False, description="batch norm after each convolution")
    pool: Literal["max", "average", "strided"] = Field(
        default="max", description="how to reduce the image size: max pooling, average pooling or strided convolutions"
    )
    lrn: int = Field(
        default=0,
        ge=0,
        description="channels of a local response normalization after activations, 5 in AlexNet; 0: none",
    )
    spp: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description=(
            "spatial pyramid pooling: output sizes of max pooling over the last maps, such as [1, 2, 4]; the number "
            "of features does not depend on the image size"
        ),
    )

    def each(self, field: Literal["kernels", "pools"]) -> tuple[int, ...]:
        """The numbers of a field, one per convolution."""
        value: int | tuple[int, ...] = getattr(self, field)
        return value if isinstance(value, tuple) else (value,) * len(self.channels)

    def in_proportion(self, factor: float) -> Convnet:
        return self.model_copy(
            update={"channels": scaled(self.channels, factor), "hidden": scaled(self.hidden, factor)}
        )

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        self.sides(input_shape)

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if a kernel or pool is larger than its input, or ``parameters`` cannot be reached."""
        if self.parameters is not None:
            return self.sized(input_shape, outputs).build(input_shape, outputs)
        sides = self.sides(input_shape)
        dimensions = len(input_shape) - 1
        channels = (input_shape[0], *self.channels)
        cells = sum(side**dimensions for side in self.spp) if self.spp else prod(sides)
        widths = (channels[-1] * cells, *self.hidden, outputs)
        check_memory(
            "model.channels", list(self.channels), convolution_parameters(channels, self.each("kernels"), dimensions)
        )
        check_memory("model.hidden", list(self.hidden), dense_parameters(widths))

        convolution = getattr(torch.nn, f"Conv{dimensions}d")
        norm = getattr(torch.nn, f"BatchNorm{dimensions}d")
        pooling = "AvgPool" if self.pool == "average" else "MaxPool"
        layers: dict[str, nn.Module] = {}
        for i, (kernel, pool) in enumerate(zip(self.each("kernels"), self.each("pools"), strict=True), start=1):
            padding: str | int = "same" if self.padding == "same" else 0
            stride = max(pool, 1) if self.pool == "strided" else 1
            if stride > 1 and padding:
                padding = (kernel - 1) // 2
            layers[f"conv{i}"] = convolution(channels[i - 1], channels[i], kernel, stride, padding=padding)
            if self.batch_norm:
                layers[f"norm{i}"] = norm(channels[i])
            layers[f"conv_act{i}"] = activation(self.activation)
            if self.lrn:
                layers[f"lrn{i}"] = torch.nn.LocalResponseNorm(self.lrn)
            if pool > 1 and self.pool != "strided":
                layers[f"pool{i}"] = layer(pooling, dimensions, pool)
        if self.spp:
            layers["spp"] = pyramid_pool(dimensions, self.spp)
        else:
            layers["flatten"] = torch.nn.Flatten()
        return torch.nn.Sequential(OrderedDict(layers | dense_layers(widths, self.activation, prefix="hidden_")))

    def sides(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The image size after the last pool. Raises ValueError if a kernel or pool is larger than its input."""
        axes("convnet", input_shape)
        sides = input_shape[1:]
        for i, (kernel, pool) in enumerate(zip(self.each("kernels"), self.each("pools"), strict=True), start=1):
            left = "x".join(str(side) for side in sides)
            if self.padding == "none":
                if kernel > min(sides):
                    raise ValueError(
                        f"model.kernels: the kernel size of conv{i} (={kernel}) is larger than its input ({left}). Use "
                        "smaller kernels or pools, fewer layers, or padding: same."
                    )
                sides = tuple(side - kernel + 1 for side in sides)
            if self.pool == "strided":
                # the convolution moves by that many pixels; an incomplete last window counts as one
                sides = tuple(-(-side // max(pool, 1)) for side in sides)
                continue
            left = "x".join(str(side) for side in sides)
            if pool > min(sides):
                raise ValueError(
                    f"model.pools: the pooling size after conv{i} (={pool}) is larger than its input ({left}). Use "
                    "smaller kernels or pools, fewer layers, or padding: same."
                )
            sides = tuple(side // max(pool, 1) for side in sides)
        return sides

    @model_validator(mode="after")
    def strides_keep_the_middle(self) -> Self:
        even = [
            kernel
            for kernel, pool in zip(self.each("kernels"), self.each("pools"), strict=False)
            if kernel % 2 == 0 and pool > 1
        ]
        if self.pool == "strided" and self.padding == "same" and even:
            raise ValueError(f"kernels (={even[0]}) must be odd if pool: strided is combined with padding: same.")
        return self

    @model_validator(mode="after")
    def equal_lengths(self) -> Self:
        for field in ("kernels", "pools"):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != len(self.channels):
                raise ValueError(
                    f"{field} (={list(value)}) must be one number, or one for each of the {len(self.channels)} "
                    f"channels (={list(self.channels)})."
                )
        return self
