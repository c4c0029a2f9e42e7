"""Networks of inception blocks: kernels of several sizes in parallel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from ablate.models.activation import Activation
from ablate.models.blocks import axes, check_side, convolution, layer, sequence
from ablate.models.mlp import Width
from ablate.models.model import Model
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

Block = tuple[Width, Width, Width, Width, Width, Width]


@register(
    "model",
    "inception",
    card=Card(
        "Blocks of parallel 1×1, 3×3, 5×5 convolutions and pooling.",
        source="Szegedy et al. 2015, Going Deeper with Convolutions, figure 2b",
        helps="For objects of different sizes in one image; few parameters for its depth.",
        costs="Six hyperparameters per block; slower than its number of multiplications suggests.",
    ),
)
class Inception(Model):
    """``stem``, ``block1``, …, ``pool``, ``flatten``, ``output``.

    A block's branches are ``one``, ``three``, ``five`` and ``pooled``; their channels are concatenated.
    """

    stem: Width = Field(default=16, description="channels of the first convolution")
    stem_kernel: int = Field(default=3, ge=1, description="size of the first kernels")
    blocks: tuple[Block, ...] = Field(
        default=((8, 8, 16, 4, 8, 8), (16, 16, 32, 8, 16, 16)),
        min_length=1,
        description="channels of each block: 1x1, before 3x3, 3x3, before 5x5, 5x5, after pooling",
    )
    halve: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(1,), description="blocks followed by max pooling that halves the size, counted from 1; 0: the stem"
    )
    activation: Activation = Field(default="relu", description="activation after convolutions")
    batch_norm: bool = Field(default=True, description="batch norm after convolutions (the paper of 2015 has none)")

    @model_validator(mode="after")
    def pools_stand_behind_blocks(self) -> Self:
        if any(place > len(self.blocks) for place in self.halve):
            raise ValueError(f"halve (={list(self.halve)}) must be indices of the {len(self.blocks)} blocks, or 0.")
        return self

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        axes("inception", input_shape)
        check_side("inception", input_shape[1:], len(set(self.halve)), "halve")

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if samples are not images or too small."""
        self.check_shape(input_shape, outputs)
        n = len(input_shape) - 1
        layers: dict[str, nn.Module] = {
            "stem": convolution(n, input_shape[0], self.stem, self.stem_kernel, self.activation, norm=self.batch_norm)
        }
        if 0 in self.halve:
            layers["stem_pool"] = layer("MaxPool", n, 2)
        width = self.stem
        for i, block in enumerate(self.blocks, start=1):
            layers[f"block{i}"] = self._block(n, width, block)
            width = block[0] + block[2] + block[4] + block[5]
            if i in self.halve:
                layers[f"pool{i}"] = layer("MaxPool", n, 2)
        layers |= {
            "pool": layer("AdaptiveAvgPool", n, 1),
            "flatten": torch.nn.Flatten(),
            "output": torch.nn.Linear(width, outputs),
        }
        return sequence(**layers)

    def _block(self, n: int, inputs: int, block: Block) -> nn.Module:
        from ablate.layers.branches import Branches

        one, before3, three, before5, five, pooled = block

        def conv(before: int, after: int, kernel: int) -> nn.Module:
            return convolution(n, before, after, kernel, self.activation, norm=self.batch_norm)

        return Branches(
            {
                "one": conv(inputs, one, 1),
                "three": sequence(reduce=conv(inputs, before3, 1), wide=conv(before3, three, 3)),
                "five": sequence(reduce=conv(inputs, before5, 1), wide=conv(before5, five, 5)),
                "pooled": sequence(pool=layer("MaxPool", n, 3, stride=1, padding=1), reduce=conv(inputs, pooled, 1)),
            }
        )
