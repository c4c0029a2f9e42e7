"""Momentum with the learning rate inside the velocity, as papers and code before torch had it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

from ablate.optimizers.steps.rate_per_seed import spread


class VelocitySGD(torch.optim.Optimizer):
    """v ← μv − lr·g; p ← p + v, with Nesterov p ← p + μv − lr·g. Weight decay adds wd·p to g.

    A lower rate so acts on new gradients only: what the velocity already holds rolls on. Rate, momentum and decay are read from the parameter groups at
    every step; the rate may be a tensor, of one number or (R,) for the seeds of a stack.
    Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, equations 1-4; nolearn and Lasagne's updates.
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

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = [p.grad for p in parameters]
            velocities = [self._velocity(p) for p in parameters]
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
        return loss

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        velocity: Tensor = state["velocity"]
        return velocity
