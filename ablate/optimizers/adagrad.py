"""Adagrad: rates per weight that fall with all gradients seen."""

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
        "Rates per weight that fall with all the gradients seen so far.",
        source="Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods; torch.optim.Adagrad",
        helps="Sparse inputs and convex problems: rare features keep a large rate.",
        costs="One number of memory per weight; in long trainings the rates fall to nothing.",
        interacts="It lowers the rate by itself: a falling schedule on top lowers it twice.",
    ),
)
class Adagrad(Optimizer):
    """s ← s + g²; p ← p − lr·g/(√s + ε), with lr/(1 + (t−1)·lr_decay). Weight decay adds wd·p to g."""

    lr_decay: Annotated[float, Range(ge=0)] = Field(
        default=0.0, description="the rate falls as 1/(1 + steps times this)"
    )
    initial_accumulator_value: Annotated[float, Range(ge=0)] = Field(
        default=0.0, description="where the sum of squared gradients begins; above 0 tames the first steps"
    )
    eps: Annotated[float, Range(gt=0)] = Field(default=1e-10, description="added to the root, against division by 0")
    weight_decay: Decay = Field(default=0.0, description="L2: times the weight, added to its gradient")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {key: now[key] for key in ("lr", "lr_decay", "eps", "weight_decay")}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
        # only the CPU has the fused kernel in every torch from 2.6 on
        return torch.optim.Adagrad(
            groups,
            initial_accumulator_value=self.initial_accumulator_value,
            fused=fused(groups) if on_cpu else None,
        )
