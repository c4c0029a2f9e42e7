"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ablate.optimizers.adam import Moments
from ablate.optimizers.build import fused
from ablate.optimizers.optimizer import Decay
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "adamw",
    card=Card(
        "Adam with decoupled weight decay.",
        source="Loshchilov and Hutter 2017, Decoupled Weight Decay Regularization; torch.optim.AdamW",
        helps=(
            "When using Adam with weight decay: the best value hardly depends on the learning rate schedule. Default "
            "for transformers."
        ),
        costs="Stores two values per parameter. One more hyperparameter.",
        interacts=(
            "Each step shrinks weights by lr·weight_decay, so the decay follows the learning rate schedule. Exclude "
            "norms and biases (groups)."
        ),
    ),
)
class AdamW(Moments):
    """p ← (1 − lr·wd)·p, then Adam's step on the plain gradient (algorithm 2 of the paper, with torch's lr instead of
    η·α).
    """

    weight_decay: Decay = Field(
        default=0.01, description="decoupled weight decay: each step subtracts lr · weight_decay · w"
    )

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return torch.optim.AdamW(groups, fused=fused(groups))
