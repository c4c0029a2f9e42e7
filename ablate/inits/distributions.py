"""Initial weights from a distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.inits.init import Init, WeightInit, reset
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


@register(
    "init",
    "default",
    card=Card(
        "PyTorch's default initialization; a layer's weights depend only on the seed and its name.",
        source="torch.nn layers' reset_parameters: uniform in ±1/√fan_in for linear and convolution layers",
        helps="For moderately deep networks of any kind.",
        costs="Smaller weights than He initialization: signals fade in deep ReLU networks.",
    ),
)
class Default(Init):
    """Calls every layer's ``reset_parameters`` with a generator keyed by (seed, layer name)."""

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        return reset(model, seed)


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
