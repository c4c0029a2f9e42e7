"""U-Net: an encoder and a decoder with skip connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.models.activation import Activation
from ablate.models.blocks import axes, check_side, convolution, layer, sequence
from ablate.models.mlp import Width
from ablate.models.model import Model
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn


@register(
    "model",
    "unet",
    card=Card(
        "Segmentation: convolutional encoder and decoder with skip connections.",
        source="Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation",
        helps="For masks with sharp boundaries from few images.",
        costs="High memory use: the maps of all levels are kept for the decoder.",
        interacts="Requires one class per pixel. Zero padding keeps the size; the paper crops masks instead.",
    ),
)
class Unet(Model):
    """``down``, ``skip`` (contains the next level), ``up``, …, ``output``: (N, C, …) → (N, outputs, …) of the sample
    size.
    """

    places = True

    channels: tuple[Width, ...] = Field(
        default=(16, 32, 64), min_length=1, description="channels of each level, from the finest"
    )
    convolutions: int = Field(default=2, ge=1, description="number of convolutions per level, down and up")
    kernel: int = Field(default=3, ge=1, description="kernel size")
    up: Literal["transposed", "linear", "nearest"] = Field(
        default="transposed",
        description="how maps are enlarged: a transposed convolution, or interpolation and a 1x1 convolution",
    )
    activation: Activation = Field(default="relu", description="activation after convolutions")
    batch_norm: bool = Field(default=True, description="batch norm after convolutions (the paper has none)")
    skips: bool = Field(
        default=True, description="false: an encoder and decoder without skip connections, for comparison"
    )

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        axes("unet", input_shape)
        check_side("unet", input_shape[1:], len(self.channels) - 1, "channels")

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if samples are not images or too small."""
        self.check_shape(input_shape, outputs)
        n = len(input_shape) - 1
        layers = dict(self._level(n, input_shape[0], 0).named_children())
        layers["output"] = layer("Conv", n, self.channels[0], outputs, 1)
        return sequence(**layers)

    def _level(self, n: int, inputs: int, depth: int) -> nn.Sequential:
        """A level and all levels below: (N, inputs, …) → (N, channels[depth], …)."""
        from ablate.layers.branches import Branches, ResizedToInput

        width = self.channels[depth]
        down = self._convolutions(n, inputs, width)
        if depth == len(self.channels) - 1:
            return sequence(down=down)
        below = sequence(
            pool=layer("MaxPool", n, 2),
            **dict(self._level(n, width, depth + 1).named_children()),
            grow=self._grow(n, self.channels[depth + 1], width),
        )
        if not self.skips:
            return sequence(down=down, skip=ResizedToInput(below), up=self._convolutions(n, width, width))
        skip = Branches({"same": torch.nn.Identity(), "below": below})
        return sequence(down=down, skip=skip, up=self._convolutions(n, 2 * width, width))

    def _convolutions(self, n: int, inputs: int, width: int) -> nn.Sequential:
        layers: dict[str, nn.Module] = {}
        for i in range(1, self.convolutions + 1):
            part = convolution(
                n, inputs if i == 1 else width, width, self.kernel, self.activation, norm=self.batch_norm
            )
            layers |= {f"{name}{i}": module for name, module in part.named_children()}
        return sequence(**layers)

    def _grow(self, n: int, inputs: int, width: int) -> nn.Module:
        if self.up == "transposed":
            return layer("ConvTranspose", n, inputs, width, 2, stride=2)
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[n] if self.up == "linear" else "nearest"
        return sequence(resize=torch.nn.Upsample(scale_factor=2, mode=mode), conv=layer("Conv", n, inputs, width, 1))
