"""Orthogonal initialization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.inits.init import WeightInit
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


@register(
    "init",
    "orthogonal",
    card=Card(
        "Draws weights with orthonormal rows or columns, which preserve norms.",
        source="Saxe et al. 2014, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        helps="For very deep and recurrent networks: signals neither fade nor explode at the start.",
        costs="A decomposition of every weight. ReLU layers need gain √2.",
        interacts="lsuv starts from it.",
    ),
)
class Orthogonal(WeightInit):
    """gain·Q, where Q has orthonormal rows, or columns if there are more rows; convolutions are flattened to (out,
    in·window). Biases are zero.
    """

    shorthand = "gain"

    gain: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="factor of the orthonormal weights; √2 for ReLU"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.orthogonal_(weight, gain=self.gain, generator=generator)
