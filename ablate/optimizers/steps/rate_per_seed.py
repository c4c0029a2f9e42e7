"""A learning rate of its own for every seed of a stack, in optimizers that know only one rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def take_rates(optimizer: torch.optim.Optimizer) -> None:
    """Let a group's ``lr`` also be a tensor: 0-d, or (R,) with a rate for each seed of parameters (R, …). Nothing waits for the device.

    A step of torch's optimizers is proportional to the rate: it is made with rate 1 and taken in part, p ← p + lr·(step(p) − p). (Where the rate is inside a
    velocity it is not: such optimizers have ``takes_rates = True`` and do it themselves.)
    """
    if getattr(optimizer, "takes_rates", False):
        return
    aside: list[tuple[dict[str, Any], Tensor, list[tuple[Tensor, Tensor]]]] = []

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                old = [(p, p.detach().clone()) for p in group["params"] if p.grad is not None]
                aside.append((group, group["lr"], old))
                group["lr"] = 1.0

    def after(*_: Any) -> None:
        with torch.no_grad():
            for group, rate, pairs in aside:
                group["lr"] = rate
                for parameter, old in pairs:
                    parameter.sub_(old).mul_(spread(rate, parameter)).add_(old)
        aside.clear()

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def spread(value: Any, parameter: Tensor) -> Any:
    """A number for each seed, (R,), in a shape that broadcasts with (R, …); other numbers as they are."""
    if isinstance(value, Tensor) and value.dim() == 1:
        return value.view(-1, *(1 for _ in parameter.shape[1:]))
    return value
