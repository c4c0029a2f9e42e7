"""Adamax: Adam with the maximum of recent gradients instead of the mean square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ablate.optimizers.adam import Moments
from ablate.optimizers.optimizer import Rate
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "adamax",
    card=Card(
        "Adam that divides by the maximum of recent gradients, not the mean.",
        source="Kingma and Ba 2014, Adam, section 7.1; torch.optim.Adamax",
        helps="For sparse gradients and embeddings, whose rare large gradients Adam averages out.",
        costs="Stores two values per parameter. One large gradient reduces the steps for about 1/(1 - beta2) steps.",
        interacts="weight_decay is an L2 penalty in the gradient, as in adam.",
    ),
)
class Adamax(Moments):
    """m ← β₁m + (1−β₁)g, u ← max(β₂u, |g| + ε), p ← p − lr/(1−β₁ᵗ)·m/u."""

    lr: Rate = Field(default=2e-3, description="learning rate")

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return torch.optim.Adamax(groups)
