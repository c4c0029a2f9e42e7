"""He initialization: keeps the variance of signals through ReLU layers."""

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
        "Draws normal weights that keep the variance through ReLU layers.",
        source="He et al. 2015, Delving Deep into Rectifiers, equation 10",
        helps="For deep ReLU networks.",
    ),
)
class HeNormal(WeightInit):
    """Normal with the standard deviation √(2/fan); biases zero."""

    mode: Literal["fan_in", "fan_out"] = Field(
        default="fan_in", description="fan_in: keep the variance in the forward pass; fan_out: in the backward pass"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.kaiming_normal_(weight, mode=self.mode, nonlinearity="relu", generator=generator)


@register(
    "init",
    "he_uniform",
    card=Card(
        "Draws uniform weights that keep the variance through ReLU layers.",
        source="He et al. 2015, Delving Deep into Rectifiers; torch.nn.init.kaiming_uniform_",
        helps="For deep ReLU networks.",
    ),
)
class HeUniform(WeightInit):
    """Uniform in ±√(6/fan); biases zero."""

    mode: Literal["fan_in", "fan_out"] = Field(
        default="fan_in", description="fan_in: keep the variance in the forward pass; fan_out: in the backward pass"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.kaiming_uniform_(weight, mode=self.mode, nonlinearity="relu", generator=generator)
