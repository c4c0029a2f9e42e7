"""vSGD: no learning rate to tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ablate.optimizers.optimizer import Decay, Optimizer, Rate
from ablate.registry import Card, register
from ablate.registry.fields import Range

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "vsgd",
    card=Card(
        "Estimates per-parameter learning rates from signal, noise and curvature of gradients.",
        source=(
            "Schaul, Zhang and LeCun 2013, No More Pesky Learning Rates; Schaul and LeCun 2013, Adaptive learning "
            "rates and parallelization"
        ),
        helps=(
            "When the learning rate and its decay should not be tuned: both adapt to the noise, with results close "
            "to tuned SGD."
        ),
        costs=(
            "Stores nine values per parameter. Twenty small steps at the start; a step takes several times as long "
            "as SGD."
        ),
        interacts=(
            "It reduces learning rates itself as noise increases: lr and its schedule multiply them. Noise from "
            "dropout counts as noise."
        ),
    ),
)
class VSgd(Optimizer):
    """p ← p − lr·η·g, η = ḡ²/v̄ · h̄/(h²)‾ with running averages of gradient, squared gradient, curvature and squared
    curvature, each with its own memory.

    ``curvature: secant`` is estimated between the means of windows of steps and needs no second gradient;
    ``finite_difference`` (vSGD-fd) uses a second gradient of the same batch at a nearby point.
    `ablate.optimizers.steps.vsgd` documents which parts are from the papers.
    """

    lr: Rate = Field(default=1.0, description="factor of the estimated learning rates")
    curvature: Literal["secant", "finite_difference"] = Field(
        default="secant",
        description=(
            "secant: from windows of earlier steps; finite_difference: from a second gradient of each batch (twice "
            "the time)"
        ),
    )
    window: Annotated[int, Range(ge=2)] = Field(
        default=10, description="number of steps over which gradients and weights are averaged for the curvature"
    )
    caution: Annotated[float, Range(ge=1)] = Field(
        default=2.0, description="initial overestimation factor of noise and curvature"
    )
    largest_rate: Annotated[float, Range(gt=0)] = Field(
        default=10.0, description="upper bound of the estimated learning rates, for nearly linear losses"
    )
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient (L2 penalty)")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {"lr": now["lr"], "weight_decay": now["weight_decay"]}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        from ablate.optimizers.steps.vsgd import VSGD

        return VSGD(
            groups,
            window=self.window,
            caution=self.caution,
            largest=self.largest_rate,
            wants_closure=self.curvature == "finite_difference",
        )
