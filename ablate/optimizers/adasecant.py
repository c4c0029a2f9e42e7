"""AdaSecant: no learning rate to tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.optimizers.optimizer import Decay, Optimizer, Rate
from ablate.registry import Card, register
from ablate.registry.fields import Range

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "adasecant",
    card=Card(
        "Finds each weight's rate from how gradients change along its path.",
        source="Gulcehre, Moczulski and Bengio 2014, ADASECANT: Robust Adaptive Secant Method for Stochastic Gradient",
        helps="Where nobody will tune the rate; deep networks whose layers have gradients of unlike size, for each is normalised.",
        costs="Twelve numbers of memory per weight, and several times the time of SGD's step.",
        interacts="Gradients are normalised by layer, so clipping by norm does nothing; lr and its schedule only multiply what it finds.",
    ),
)
class AdaSecant(Optimizer):
    """p ← p − lr·η·g̃, η = √E[Δ²]/√E[α²] − E[αΔ]/E[α²] over steps Δ and changes α of the normalised gradient; g̃ is the gradient drawn towards its mean.

    `ablate.optimizers.steps.adasecant` says where it follows the authors' program rather than their printed algorithm.
    """

    lr: Rate = Field(default=1.0, description="times the rate that it finds")
    decay: Annotated[float, Range(ge=0, lt=1)] = Field(default=0.95, description="memory of the gradient's mean")
    variance_reduction: bool = Field(default=True, description="draw each gradient towards the mean")
    gamma_clip: Annotated[float, Range(ge=0)] = Field(
        default=1.8, description="how far at most: 1.8 means 1.8 parts of mean to one of gradient"
    )
    adagrad: bool = Field(
        default=False,
        description="divide by the root of all squared gradients once that is above 1, so that steps must fall",
    )
    largest_rate: Annotated[float, Range(gt=0)] = Field(default=50.0, description="bound of what it finds")
    eps: Annotated[float, Range(gt=0)] = Field(default=1e-6, description="added under the roots; a floor to the rate")
    weight_decay: Decay = Field(
        default=0.0, description="L2: times the weight, added to its gradient before that is normalised"
    )

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {"lr": now["lr"], "weight_decay": now["weight_decay"]}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return self._built(groups, stacked=False)

    def build_stacked(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return self._built(groups, stacked=True)

    def _built(self, groups: list[dict[str, Any]], *, stacked: bool) -> TorchOptimizer:
        from ablate.optimizers.steps.adasecant import AdaSecant as Torchs

        return Torchs(
            groups,
            decay=self.decay,
            gamma_clip=self.gamma_clip,
            largest=self.largest_rate,
            variance_reduction=self.variance_reduction,
            adagrad=self.adagrad,
            eps=self.eps,
            stacked=stacked,
        )
