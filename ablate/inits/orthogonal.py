"""Initial weights whose rows (or columns) are orthogonal."""

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
        "Weights with orthonormal rows or columns, which keep lengths.",
        source="Saxe et al. 2014, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        helps="Very deep and recurrent networks: signals neither fade nor explode at the start.",
        costs="A decomposition of every weight; for ReLU units the gain wants to be √2.",
        interacts="lsuv begins with it.",
    ),
)
class Orthogonal(WeightInit):
    """gain·Q, Q with orthonormal rows, or columns where there are more rows; convolutions are flattened to (out, in·window). Biases zero."""

    shorthand = "gain"

    gain: Annotated[float, Range(gt=0)] = Field(default=1.0, description="times the orthonormal weights; relu √2")

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.orthogonal_(weight, gain=self.gain, generator=generator)
