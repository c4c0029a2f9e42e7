"""AdamW: Adam with its weight decay beside the gradient instead of in it."""

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
        "Adam whose weight decay shrinks every weight by the same share.",
        source="Loshchilov and Hutter 2017, Decoupled Weight Decay Regularization; torch.optim.AdamW",
        helps="Adam that shall also decay: the best decay then hardly depends on the rate's schedule; the default for transformers.",
        costs="Two numbers of memory per weight; one more number to tune.",
        interacts="A step shrinks by lr·weight_decay, so a falling rate takes the decay along; norms and biases are better left out (groups).",
    ),
)
class AdamW(Moments):
    """p ← (1 − lr·wd)·p, then Adam's step on the plain gradient (paper, algorithm 2, with torch's lr in the place of η·α)."""

    weight_decay: Decay = Field(
        default=0.01, description="decoupled: each step takes lr times this share off the weight"
    )

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return torch.optim.AdamW(groups, fused=fused(groups))
