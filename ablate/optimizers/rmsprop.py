"""RMSprop: gradients divided by the root of their recent mean square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.optimizers.optimizer import Decay, Optimizer, Rate, Share
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "rmsprop",
    card=Card(
        "Divides each gradient by the root of its recent mean square.",
        source="Tieleman and Hinton 2012, lecture 6.5 of Neural Networks for Machine Learning; torch.optim.RMSprop",
        helps="For recurrent networks and gradients whose size varies over time.",
        costs=(
            "Stores one value per parameter, and one more each for momentum and centered. The first steps are large, "
            "because there is no bias correction."
        ),
        interacts="With momentum it is similar to Adam. weight_decay is an L2 penalty in the gradient, as in adam.",
    ),
)
class RMSprop(Optimizer):
    """s ← αs + (1−α)g²; p ← p − lr·g/(√s + ε), ``centered``: √(s − mean²).

    With momentum b ← μb + g/(√s + ε), p ← p − lr·b. Weight decay adds wd·p to g.
    """

    lr: Rate = Field(default=1e-3, description="learning rate")
    alpha: Share = Field(default=0.99, description="decay rate of the running average of the squared gradient")
    momentum: Share = Field(default=0.0, description="momentum factor")
    centered: bool = Field(
        default=False, description="divide by the variance of the gradient instead of its mean square"
    )
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-8, description="term added to the denominator for numerical stability"
    )
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient (L2 penalty)")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {key: now[key] for key in ("lr", "alpha", "momentum", "eps", "weight_decay")}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        optimizer = torch.optim.RMSprop(groups, centered=self.centered)
        if isinstance(self.momentum, Schedule):
            # torch creates the buffer only in the first step, at which a schedule may be at 0
            for parameter in (p for group in groups for p in group["params"]):
                names = ("square_avg", "momentum_buffer", "grad_avg")[: 3 if self.centered else 2]
                optimizer.state[parameter].update({name: torch.zeros_like(parameter) for name in names})
                optimizer.state[parameter]["step"] = torch.zeros(())
        return optimizer
