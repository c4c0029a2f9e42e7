"""A separate learning rate for every seed of a stack, for optimizers that support only one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def take_rates(optimizer: torch.optim.Optimizer) -> None:
    """Allow a group's ``lr`` to be a tensor: 0-d, or (R,) with one learning rate per seed of parameters (R, …).

    Does not wait for the device.

    A step of torch's optimizers is proportional to the learning rate, so it is computed with learning rate 1 and
    scaled: p ← p + lr·(step(p) − p). Optimizers whose velocity includes the learning rate are not proportional; they
    have ``takes_rates = True`` and support a tensor themselves.
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
    """A number per seed, (R,), in a shape that broadcasts with (R, …); other numbers unchanged."""
    if isinstance(value, Tensor) and value.dim() == 1:
        return value.view(-1, *(1 for _ in parameter.shape[1:]))
    return value
