"""Adagrad: learning rates that decrease with the sum of squared gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.optimizers.build import fused
from ablate.optimizers.optimizer import Decay, Optimizer
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

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
