"""Adagrad and the optimizers that forget: RMSprop and Adadelta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.optimizers.build import fused
from ablate.optimizers.optimizer import Decay, Optimizer, Rate, Share
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "adagrad",
    card=Card(
        "Per-parameter learning rates that decrease with the sum of squared gradients.",
        source="Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods; torch.optim.Adagrad",
        helps="For sparse inputs and convex problems: rare features keep a large learning rate.",
        costs="Stores one value per parameter. In long training, learning rates decrease to zero.",
        interacts="It reduces the learning rate itself: a decreasing schedule reduces it twice.",
    ),
)
class Adagrad(Optimizer):
    """s ← s + g²; p ← p − lr·g/(√s + ε), with lr/(1 + (t−1)·lr_decay). Weight decay adds wd·p to g."""

    lr_decay: Annotated[float, Range(ge=0)] = Field(
        default=0.0, description="decay of the learning rate: lr/(1 + steps · lr_decay)"
    )
    initial_accumulator_value: Annotated[float, Range(ge=0)] = Field(
        default=0.0, description="initial value of the sum of squared gradients; above 0, the first steps are smaller"
    )
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-10, description="term added to the denominator for numerical stability"
    )
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient (L2 penalty)")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {key: now[key] for key in ("lr", "lr_decay", "eps", "weight_decay")}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
        # only the CPU has the fused kernel in every torch version from 2.6
        return torch.optim.Adagrad(
            groups,
            initial_accumulator_value=self.initial_accumulator_value,
            fused=fused(groups) if on_cpu else None,
        )


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


@register(
    "optimizer",
    "adadelta",
    card=Card(
        "Adaptive step sizes without a learning rate to tune.",
        source="Zeiler 2012, ADADELTA; torch.optim.Adadelta",
        helps="When the learning rate should not be tuned: 1 is meant to suit most problems.",
        costs="Stores two values per parameter. Slow start, because the first steps have size eps.",
        interacts=(
            "eps determines the first steps, as a learning rate usually does. A schedule multiplies the adaptive "
            "step size."
        ),
    ),
)
class Adadelta(Optimizer):
    """s ← ρs + (1−ρ)g²; d = √(u + ε)/√(s + ε)·g; u ← ρu + (1−ρ)d²; p ← p − lr·d. Weight decay adds wd·p to g."""

    lr: Rate = Field(default=1.0, description="learning rate: a factor of the adaptive step size")
    rho: Share = Field(default=0.9, description="decay rate of the running averages of squared gradients and updates")
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-6, description="term inside the square roots for numerical stability; determines the first steps"
    )
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient (L2 penalty)")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {key: now[key] for key in ("lr", "rho", "eps", "weight_decay")}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        # measured on one CPU thread: foreach takes 0.7 to 1.0 times as long as the loop
        return torch.optim.Adadelta(groups, foreach=True)
