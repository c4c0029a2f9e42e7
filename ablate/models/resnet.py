"""Residual networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from ablate.models.activation import Activation, activation
from ablate.models.blocks import axes, check_side, convolution, layer, pyramid_pool, sequence
from ablate.models.mlp import Width
from ablate.models.size import Sized, scaled
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

Count = Annotated[int, Field(ge=1)]


@register(
    "model",
    "resnet",
    card=Card(
        "Residual blocks of convolutions with batch norm, then global average pooling.",
        source="He et al. 2016, Deep Residual Learning for Image Recognition; torchvision's resnet, except for sizes",
        helps="For deep networks: signals bypass the blocks, so deeper networks still train.",
        costs="More computation than a convnet with the same error on small images.",
        interacts="drop_path drops blocks; the init zero_gamma starts every block as the identity.",
    ),
)
class Resnet(Sized):
    """``stem``, ``stage1.block1``, …, ``pool``, ``flatten``, ``output``.

    The first block of each stage except the first halves the size.

    resnet18 is channels [64, 128, 256, 512], blocks 2, stem_kernel 7, stem_stride 2, stem_pool true; resnet50 is the
    same with blocks [3, 4, 6, 3] and bottleneck.
    """

    channels: tuple[Width, ...] = Field(
        default=(16, 32, 64),
        min_length=1,
        description="channels of each stage's convolutions (a bottleneck has 4 times as many outputs)",
    )
    blocks: Count | tuple[Count, ...] = Field(
        default=2, description="residual blocks per stage: one number, or one per stage"
    )
    kernel: int = Field(default=3, ge=1, description="kernel size of the blocks; odd")
    bottleneck: bool = Field(default=False, description="use blocks of 1x1, kernel and 1x1 convolutions")
    stem_kernel: int = Field(default=3, ge=1, description="size of the first kernels; odd")
    stem_stride: int = Field(default=1, ge=1, description="stride of the first convolution")
    stem_pool: bool = Field(default=False, description="3x3 max pooling with stride 2 after the first convolution")
    activation: Activation = Field(default="relu", description="activation after norms and sums")
    batch_norm: bool = Field(default=True, description="batch norm after convolutions")
    residual: bool = Field(
        default=True, description="false: the same layers without the residual connections, for comparison"
    )
    spp: tuple[Count, ...] = Field(
        default=(),
        description=(
            "spatial pyramid pooling instead of global average pooling: output sizes of max pooling, such as [1, 2, 4]"
        ),
    )

    @model_validator(mode="after")
    def sizes_fit(self) -> Self:
        if isinstance(self.blocks, tuple) and len(self.blocks) != len(self.channels):
            raise ValueError(
                f"blocks (={list(self.blocks)}) must be one number, or one for each of the {len(self.channels)} "
                f"channels (={list(self.channels)})."
            )
        for field in ("kernel", "stem_kernel"):
            if getattr(self, field) % 2 == 0:
                raise ValueError(f"{field} (={getattr(self, field)}) must be odd, so that zero padding keeps the size.")
        return self

    def in_proportion(self, factor: float) -> Resnet:
        return self.model_copy(update={"channels": scaled(self.channels, factor)})

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        axes("resnet", input_shape)
        check_side("resnet", input_shape[1:], len(self.channels) - 1, "channels")

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if samples are not images or too small, or ``parameters`` cannot be reached."""
        if self.parameters is not None:
            return self.sized(input_shape, outputs).build(input_shape, outputs)
        self.check_shape(input_shape, outputs)
        n = len(input_shape) - 1
        width = self.channels[0]
        stem = convolution(
            n, input_shape[0], width, self.stem_kernel, self.activation, norm=self.batch_norm, stride=self.stem_stride
        )
        layers: dict[str, nn.Module] = {"stem": stem}
        if self.stem_pool:
            layers["stem_pool"] = layer("MaxPool", n, 3, stride=2, padding=1)
        counts = self.blocks if isinstance(self.blocks, tuple) else (self.blocks,) * len(self.channels)
        for i, (channels, count) in enumerate(zip(self.channels, counts, strict=True), start=1):
            stage: dict[str, nn.Module] = {}
            for j in range(1, count + 1):
                stage[f"block{j}"] = self._block(n, width, channels, 2 if i > 1 and j == 1 else 1)
                width = channels * (4 if self.bottleneck else 1)
            layers[f"stage{i}"] = sequence(**stage)
        if self.spp:
            layers["pool"] = pyramid_pool(n, self.spp)
            width *= sum(side**n for side in self.spp)
        else:
            layers |= {"pool": layer("AdaptiveAvgPool", n, 1), "flatten": torch.nn.Flatten()}
        layers["output"] = torch.nn.Linear(width, outputs)
        return sequence(**layers)

    def _block(self, n: int, inputs: int, channels: int, stride: int) -> nn.Module:
        from ablate.layers.branches import ResidualBlock

        outputs = channels * (4 if self.bottleneck else 1)
        kernels = (1, self.kernel, 1) if self.bottleneck else (self.kernel, self.kernel)
        widths = (inputs, channels, channels, outputs) if self.bottleneck else (inputs, channels, outputs)
        # as in torchvision: in the middle of a bottleneck
        strided = 1 if self.bottleneck else 0
        branch: dict[str, nn.Module] = {}
        for i, kernel in enumerate(kernels):
            last = i == len(kernels) - 1
            part = convolution(
                n,
                widths[i],
                widths[i + 1],
                kernel,
                None if last else self.activation,
                norm=self.batch_norm,
                stride=stride if i == strided else 1,
            )
            branch |= {f"{name}{i + 1}": module for name, module in part.named_children()}
        if not self.residual:
            return sequence(branch=sequence(**branch), after=activation(self.activation))
        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = convolution(n, inputs, outputs, 1, None, norm=self.batch_norm, stride=stride)
        return ResidualBlock(sequence(**branch), shortcut, activation(self.activation))
