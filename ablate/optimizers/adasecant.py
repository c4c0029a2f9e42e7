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
        "Estimates per-parameter learning rates from changes of the gradient.",
        source="Gulcehre, Moczulski and Bengio 2014, ADASECANT: Robust Adaptive Secant Method for Stochastic Gradient",
        helps=(
            "When the learning rate should not be tuned; for deep networks with gradients of different magnitude, "
            "because gradients are normalized by layer."
        ),
        costs="Stores twelve values per parameter. A step takes several times as long as SGD.",
        interacts=(
            "Gradients are normalized by layer, so clip_norm has no effect. lr and its schedule multiply the "
            "estimated learning rates."
        ),
    ),
)
class AdaSecant(Optimizer):
    """p ← p − lr·η·g̃, η = √E[Δ²]/√E[α²] − E[αΔ]/E[α²] over steps Δ and changes α of the normalized gradient; g̃ is the
    variance-reduced gradient.

    `ablate.optimizers.steps.adasecant` documents where it follows the authors' program instead of the paper's
    algorithm.
    """

    lr: Rate = Field(default=1.0, description="factor of the estimated learning rates")
    decay: Annotated[float, Range(ge=0, lt=1)] = Field(
        default=0.95, description="decay rate of the running average of the gradient"
    )
    variance_reduction: bool = Field(
        default=True, description="reduce the variance of gradients by moving them toward the running average"
    )
    gamma_clip: Annotated[float, Range(ge=0)] = Field(
        default=1.8,
        description=("maximum weight of the running average in that reduction; the gradient has weight 1"),
    )
    adagrad: bool = Field(
        default=False,
        description="divide by the root of the sum of squared gradients if it exceeds 1, so that steps decrease",
    )
    largest_rate: Annotated[float, Range(gt=0)] = Field(
        default=50.0, description="upper bound of the estimated learning rates"
    )
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-6,
        description="term inside the square roots for numerical stability; a lower bound of the learning rates",
    )
    weight_decay: Decay = Field(
        default=0.0, description="weight decay coefficient (L2 penalty), applied before gradients are normalized"
    )

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {"lr": now["lr"], "weight_decay": now["weight_decay"]}

    def build_stacked(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return self.build(groups, stacked=True)

    def build(self, groups: list[dict[str, Any]], *, stacked: bool = False) -> TorchOptimizer:
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
