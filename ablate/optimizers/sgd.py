"""Stochastic gradient descent, with momentum or Nesterov momentum, and the learning rate outside or inside the
velocity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from ablate.optimizers.build import alike_on_cpu, fused
from ablate.optimizers.decay import DecayForm, decay_values, shrink_before_steps
from ablate.optimizers.optimizer import Decay, Optimizer, Share
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "sgd",
    card=Card(
        "Stochastic gradient descent, optionally with momentum.",
        source=(
            "torch.optim.SGD; Sutskever et al. 2013, On the importance of initialization and momentum in deep learning"
        ),
        helps=(
            "Often reaches a lower loss than adaptive methods if the learning rate is tuned. Momentum helps on "
            "plateaus."
        ),
        costs="Requires tuning the learning rate and, usually, its schedule.",
        interacts=(
            "A change of the learning rate takes effect immediately; with rate_in_velocity, over about 1/(1 - "
            "momentum) steps. L2 and decoupled weight decay are equivalent without momentum and schedules, and "
            "similar with them."
        ),
    ),
)
class Sgd(Optimizer):
    """v ← μv + g; p ← p − lr·v, with Nesterov p ← p − lr·(g + μv), as in torch.

    Weight decay adds wd·p to g; ``decay: decoupled`` subtracts lr·wd·p from p instead, ``decay: plain`` wd·p (as in p ←
    0.99p − lr·g).

    ``rate_in_velocity``: v ← μv − lr·g; p ← p + v, with Nesterov p ← p + μv − lr·g, the older form
    (`ablate.optimizers.steps.velocity_sgd`). With a constant learning rate the two are equivalent, and torch's faster
    optimizer is used. With a schedule, or a trick that changes the learning rate, they differ.
    """

    momentum: Share = Field(default=0.9, description="momentum factor")
    nesterov: bool = Field(default=False, description="use Nesterov momentum")
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient; see 'decay'")
    decay: DecayForm = Field(
        default="l2",
        description=(
            "l2: add weight_decay · w to the gradient; decoupled: subtract lr · weight_decay · w from the weight; "
            "plain: subtract weight_decay · w"
        ),
    )
    rate_in_velocity: bool = Field(
        default=False, description="accumulate lr · gradient in the velocity instead of the gradient"
    )

    _moved: bool = PrivateAttr(default=False)

    def under_tricks(self) -> Self:
        told = self.model_copy()
        told._moved = True
        return told

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        decay = decay_values(self.decay, now["weight_decay"])
        return {"lr": now["lr"], "momentum": now["momentum"], **decay}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        # nesterov is set per group: torch's constructor rejects a momentum of 0, at which a schedule may start
        groups = [{**group, "nesterov": self.nesterov} for group in groups]
        optimizer = self._optimizer(groups)
        if self.decay != "l2":
            shrink_before_steps(optimizer, self.decay)
        return optimizer

    def _optimizer(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        rates = [self.lr, *(group.lr for group in self.groups)]
        if self.rate_in_velocity and (self._moved or any(isinstance(rate, Schedule) for rate in rates)):
            from ablate.optimizers.steps.velocity_sgd import VelocitySGD

            return VelocitySGD(groups)
        if alike_on_cpu(groups):
            from ablate.optimizers.steps.fused import FusedSGD

            return FusedSGD(groups)
        optimizer = torch.optim.SGD(groups, fused=fused(groups))
        if self.momentum != 0:
            # torch's fused step fails if some parameters have a velocity and others, unfrozen later, have none yet
            for parameter in (p for group in groups for p in group["params"]):
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer

    @model_validator(mode="after")
    def plain_decay_is_a_share(self) -> Self:
        decays = [self.weight_decay, *(group.weight_decay for group in self.groups)]
        for decay in decays if self.decay == "plain" else ():
            try:
                Range(le=1).check(0.0 if decay is None else decay)
            except ValueError as error:
                raise ValueError(f"weight_decay under decay (=plain) {error}") from None
        return self

    @model_validator(mode="after")
    def nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov (=True) requires a momentum above 0. Set momentum: 0.9, or remove nesterov.")
        return self
