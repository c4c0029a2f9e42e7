"""Adam: a rate for every weight from running means of its gradient and its square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.optimizers.build import fused
from ablate.optimizers.optimizer import Decay, Optimizer, Rate, Share
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class Moments(Optimizer):
    """What all relatives of Adam have: running means of the gradient and of its size."""

    lr: Rate = Field(default=3e-4, description="learning rate")
    beta1: Share = Field(default=0.9, description="memory of the gradient's mean")
    beta2: Share = Field(default=0.999, description="memory of the squared gradient's mean")
    eps: Annotated[float, Range(gt=0)] = Field(default=1e-8, description="added to the root, against division by 0")
    weight_decay: Decay = Field(default=0.0, description="L2: times the weight, added to its gradient")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        betas = (now["beta1"], now["beta2"])
        return {"lr": now["lr"], "betas": betas, "eps": now["eps"], "weight_decay": now["weight_decay"]}


@register(
    "optimizer",
    "adam",
    card=Card(
        "Rates per weight from running means; converges fast, forgives much.",
        source="Kingma and Ba 2014, Adam; torch.optim.Adam",
        helps="A safe default at 3e-4 where nothing is known of the problem.",
        costs="Two numbers of memory per weight; tuned SGD often ends a little better.",
        interacts="Its weight_decay is L2 in the gradient, which the running means divide away: large gradients decay less; adamw keeps them apart.",
    ),
)
class Adam(Moments):
    """Equation: m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², p ← p − lr·m̂/(√ŝ + ε), hats corrected for the start at 0."""

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return torch.optim.Adam(groups, fused=fused(groups))
