"""Initial values that keep the variance of signals through ReLU units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.inits.init import WeightInit
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


@register(
    "init",
    "he_normal",
    card=Card(
        "Normal weights that keep the variance through ReLU units.",
        source="He et al. 2015, Delving Deep into Rectifiers, equation 10",
        helps="Deep networks of ReLU units.",
    ),
)
class HeNormal(WeightInit):
    """Normal with the standard deviation √(2/fan); biases zero."""

    mode: Literal["fan_in", "fan_out"] = Field(
        default="fan_in", description="keep the variance forwards (fan_in) or of the gradients (fan_out)"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.kaiming_normal_(weight, mode=self.mode, nonlinearity="relu", generator=generator)


@register(
    "init",
    "he_uniform",
    card=Card(
        "Uniform weights that keep the variance through ReLU units.",
        source="He et al. 2015, Delving Deep into Rectifiers; torch.nn.init.kaiming_uniform_",
        helps="Deep networks of ReLU units.",
    ),
)
class HeUniform(WeightInit):
    """Uniform in ±√(6/fan); biases zero."""

    mode: Literal["fan_in", "fan_out"] = Field(
        default="fan_in", description="keep the variance forwards (fan_in) or of the gradients (fan_out)"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.kaiming_uniform_(weight, mode=self.mode, nonlinearity="relu", generator=generator)
