"""Initial values that keep the variance of signals the same forwards and backwards."""

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
        "Uniform weights that keep the variance over layers; suits tanh.",
        source="Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, equation 16",
        helps="Networks of tanh or sigmoid units; the keypoint study.",
        costs="Half the variance that deep networks of ReLU units want.",
    ),
)
class XavierUniform(WeightInit):
    """Uniform in ±gain·√(6/(fan_in + fan_out)); biases zero."""

    gain: Annotated[float, Range(gt=0)] = Field(default=1.0, description="times the standard width; tanh 5/3, relu √2")

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.xavier_uniform_(weight, gain=self.gain, generator=generator)


@register(
    "init",
    "xavier_normal",
    card=Card(
        "Normal weights that keep the variance over layers; suits tanh.",
        source="Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        helps="Networks of tanh or sigmoid units.",
        costs="Half the variance that deep networks of ReLU units want.",
    ),
)
class XavierNormal(WeightInit):
    """Normal with the standard deviation gain·√(2/(fan_in + fan_out)); biases zero."""

    gain: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="times the standard deviation; tanh 5/3, relu √2"
    )

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.xavier_normal_(weight, gain=self.gain, generator=generator)
