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
        "Finds each weight's rate from signal, noise and curvature of gradients.",
        source="Schaul, Zhang and LeCun 2013, No More Pesky Learning Rates; Schaul and LeCun 2013, Adaptive learning rates and parallelization",
        helps="Where nobody will tune the rate or its decay: both follow the noise, and end not far from tuned SGD.",
        costs="Nine numbers of memory per weight; twenty cautious steps at the start, and several times the time of SGD's step.",
        interacts="It lowers rates by itself as the noise takes over: lr and its schedule only multiply what it finds. Noise from dropout counts as noise.",
    ),
)
class VSgd(Optimizer):
    """p ← p − lr·η·g, η = ḡ²/v̄ · h̄/(h²)‾ with running means of gradient, squared gradient, curvature and squared curvature, each with a memory of its own.

    ``curvature: secant`` is taken between the means of windows of steps, which costs no second gradient; ``finite_difference`` (vSGD-fd) from a second gradient
    of the same batch a step away. `ablate.optimizers.steps.vsgd` says which parts are the papers' and which are ours.
    """

    lr: Rate = Field(default=1.0, description="times the rate that it finds")
    curvature: Literal["secant", "finite_difference"] = Field(
        default="secant",
        description="from windows of earlier steps, or as in the second paper from a second gradient of each batch (twice the time)",
    )
    window: Annotated[int, Range(ge=2)] = Field(
        default=10, description="steps over which gradients and weights are averaged for the curvature"
    )
    caution: Annotated[float, Range(ge=1)] = Field(
        default=2.0, description="how many times too large it takes noise and curvature for at first"
    )
    largest_rate: Annotated[float, Range(gt=0)] = Field(
        default=10.0, description="bound of what it finds, for nearly plane losses"
    )
    weight_decay: Decay = Field(default=0.0, description="L2: times the weight, added to its gradient")

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
