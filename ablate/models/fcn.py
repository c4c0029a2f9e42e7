"""Fully convolutional networks for segmentation, with a choice of context heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.models.activation import Activation
from ablate.models.blocks import axes, check_side, convolution, layer, sequence
from ablate.models.context import aspp, feature_pyramid, pyramid_attention, pyramid_pooling
from ablate.models.mlp import Width
from ablate.models.model import Model
from ablate.registry import Card, register

if TYPE_CHECKING:
    from torch import nn

Count = Annotated[int, Field(ge=1)]


@register(
    "model",
    "fcn",
    card=Card(
        "Segmentation: convolutions with pooling and a head, resized to the image.",
        source="Long et al. 2015, Fully Convolutional Networks for Semantic Segmentation",
        helps="As a baseline for segmentation, and to compare context heads on one backbone.",
        costs="Coarse boundaries, except with the heads fpn and pan, which also use fine maps.",
        interacts="Requires one class per pixel. Compare unet.",
    ),
)
class Fcn(Model):
    """(N, C, …) → (N, outputs, …) of the sample size.

    The convolutions of each stage except the last are followed by a 2×2 max pool.

    Heads: ``plain`` a 1×1 convolution; ``ppm`` pools of 1, 2, 3, 6 cells (PSPNet); ``aspp`` dilated convolutions
    (DeepLab v3); ``fpn`` top-down with lateral connections; ``pan`` pyramid attention and attention upsampling.
    """

    places = True

    channels: tuple[Width, ...] = Field(default=(16, 32, 64), min_length=1, description="channels of each stage")
    convolutions: int = Field(default=2, ge=1, description="number of convolutions per stage")
    kernel: int = Field(default=3, ge=1, description="kernel size")
    head: Literal["plain", "ppm", "aspp", "fpn", "pan"] = Field(
        default="plain", description="head that computes the scores from the maps"
    )
    width: Width = Field(default=32, description="channels inside the heads aspp, fpn and pan")
    bins: tuple[Count, ...] = Field(
        default=(1, 2, 3, 6), min_length=1, description="output sizes of the pooling layers of the head ppm"
    )
    dilations: tuple[Count, ...] = Field(
        default=(6, 12, 18),
        min_length=1,
        description="dilations of the convolutions of the head aspp, in pixels of the smallest maps",
    )
    activation: Activation = Field(default="relu", description="activation after convolutions")
    batch_norm: bool = Field(default=True, description="batch norm after convolutions")

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        axes("fcn", input_shape)
        check_side("fcn", input_shape[1:], len(self.channels) - 1, "channels")

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if samples are not images or too small."""
        from ablate.layers.branches import ResizedToInput

        self.check_shape(input_shape, outputs)
        n = len(input_shape) - 1
        stages, width = [], input_shape[0]
        for i, channels in enumerate(self.channels):
            layers: dict[str, nn.Module] = {"pool": layer("MaxPool", n, 2)} if i else {}
            for j in range(1, self.convolutions + 1):
                before = width if j == 1 else channels
                part = convolution(n, before, channels, self.kernel, self.activation, norm=self.batch_norm)
                layers |= {f"{name}{j}": module for name, module in part.named_children()}
            stages.append(sequence(**layers))
            width = channels
        body: nn.Module
        if self.head == "fpn":
            body = feature_pyramid(n, stages, self.channels, self.width, self.activation)
        elif self.head == "pan":
            body = pyramid_attention(n, stages, self.channels, self.width, self.activation)
        else:
            parts: dict[str, nn.Module] = {f"stage{i}": stage for i, stage in enumerate(stages, start=1)}
            if self.head == "ppm":
                parts["head"] = pyramid_pooling(n, width, self.bins, self.activation)
                width += len(self.bins) * max(width // len(self.bins), 1)
            elif self.head == "aspp":
                parts["head"] = aspp(n, width, self.width, self.dilations, self.activation, norm=self.batch_norm)
            body = sequence(**parts)
        final = width if self.head in ("plain", "ppm") else self.width
        return sequence(whole=ResizedToInput(sequence(body=body, output=layer("Conv", n, final, outputs, 1))))
