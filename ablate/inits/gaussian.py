"""Initial weights with a fixed standard deviation or bound, whatever the size of the layer."""

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
    "gaussian",
    card=Card(
        "Draws normal weights with a fixed standard deviation.",
        source="Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 5",
        helps="As a comparison with xavier and he; for small networks.",
        costs="In deep networks signals fade or explode, depending on width and depth.",
    ),
)
class Gaussian(WeightInit):
    """Normal with mean 0 and standard deviation ``deviation``; biases zero."""

    shorthand = "deviation"

    deviation: Annotated[float, Range(gt=0)] = Field(default=0.01, description="standard deviation of all weights")

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.normal_(weight, 0.0, self.deviation, generator=generator)


@register(
    "init",
    "uniform",
    card=Card(
        "Draws uniform weights within fixed bounds.",
        source="torch.nn.init.uniform_; Mikolov et al. 2013's word vectors",
        helps="For word embeddings (embeddings: true); as a comparison with xavier and he.",
        costs="In deep networks signals fade or explode, depending on width and depth.",
    ),
)
class Uniform(WeightInit):
    """Uniform in ±``bound``; biases zero."""

    shorthand = "bound"

    bound: Annotated[float, Range(gt=0)] = Field(default=0.05, description="maximum absolute value of a weight")

    def fill(self, weight: Tensor, generator: Generator) -> None:
        torch.nn.init.uniform_(weight, -self.bound, self.bound, generator=generator)
