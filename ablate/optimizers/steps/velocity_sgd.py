"""Momentum with the learning rate inside the velocity, the form used before torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ablate.optimizers.steps.grouped import GroupedOptimizer
from ablate.optimizers.steps.rate_per_seed import spread


class VelocitySGD(GroupedOptimizer):
    """v ← μv − lr·g; p ← p + v, with Nesterov p ← p + μv − lr·g. Weight decay adds wd·p to g.

    A lower learning rate affects new gradients only; the existing velocity continues. Learning rate, momentum and decay
    are read from the parameter groups in every step; the learning rate may be a tensor, 0-d or (R,) for the seeds of a
    stack. Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, equations
    1-4; the updates of nolearn and Lasagne.
    """

    takes_rates = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.01,
        momentum: float = 0.9,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    def step_group(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """One step of the parameters of a group."""
        velocities = self.buffers("velocity", parameters)
        rate, momentum = group["lr"], group["momentum"]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        if isinstance(rate, Tensor):
            gradients, rate = [g * spread(rate, g) for g in gradients], 1.0
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, gradients, alpha=-rate)
        if group["nesterov"]:
            torch._foreach_add_(parameters, velocities, alpha=momentum)
            torch._foreach_add_(parameters, gradients, alpha=-rate)
        else:
            torch._foreach_add_(parameters, velocities)
