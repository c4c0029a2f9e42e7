"""Adam: per-parameter learning rates from running averages of the gradient and its square."""

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
    """Base of Adam and its variants: running averages of the gradient and its square."""

    lr: Rate = Field(default=3e-4, description="learning rate")
    beta1: Share = Field(default=0.9, description="decay rate of the running average of the gradient")
    beta2: Share = Field(default=0.999, description="decay rate of the running average of the squared gradient")
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-8, description="term added to the denominator for numerical stability"
    )
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient (L2 penalty)")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        betas = (now["beta1"], now["beta2"])
        return {"lr": now["lr"], "betas": betas, "eps": now["eps"], "weight_decay": now["weight_decay"]}


@register(
    "optimizer",
    "adam",
    card=Card(
        "Per-parameter learning rates from running averages; converges fast with little tuning.",
        source="Kingma and Ba 2014, Adam; torch.optim.Adam",
        helps="As a default, with a learning rate of 3e-4, for unknown problems.",
        costs="Stores two values per parameter. Tuned SGD often reaches a slightly lower loss.",
        interacts=(
            "weight_decay is an L2 penalty in the gradient, which the normalization reduces for weights with large "
            "gradients; adamw decouples them."
        ),
    ),
)
class Adam(Moments):
    """m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², p ← p − lr·m̂/(√ŝ + ε), with bias correction (hats)."""

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return torch.optim.Adam(groups, fused=fused(groups))
