"""Xavier initialization: keeps the variance of signals in the forward and the backward pass."""

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
    "xavier_uniform",
    card=Card(
        "Draws uniform weights that keep the variance over layers; for tanh.",
        source=(
            "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, "
            "equation 16"
        ),
        helps="For networks with tanh or sigmoid; used by Nouri 2014 for facial keypoints.",
        costs="Half the variance that deep ReLU networks need.",
    ),
)
class XavierUniform(WeightInit):
    """Uniform in ±gain·√(6/(fan_in + fan_out)); biases zero."""

    gain: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="factor of the bound; 5/3 for tanh, √2 for ReLU"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.xavier_uniform_(weight, gain=self.gain, generator=generator)


@register(
    "init",
    "xavier_normal",
    card=Card(
        "Draws normal weights that keep the variance over layers; for tanh.",
        source="Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        helps="For networks with tanh or sigmoid.",
        costs="Half the variance that deep ReLU networks need.",
    ),
)
class XavierNormal(WeightInit):
    """Normal with the standard deviation gain·√(2/(fan_in + fan_out)); biases zero."""

    gain: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="factor of the standard deviation; 5/3 for tanh, √2 for ReLU"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.xavier_normal_(weight, gain=self.gain, generator=generator)
