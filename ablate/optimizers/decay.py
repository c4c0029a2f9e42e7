"""Weight decay beside the gradient, for optimizers of torch that only know it in the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer

DecayForm = Literal["l2", "decoupled", "plain"]
"""``l2``: g ← g + wd·w. ``decoupled``: w ← (1 − lr·wd)·w. ``plain``: w ← (1 − wd)·w, whatever the rate."""


def decay_values(form: DecayForm, decay: float) -> dict[str, Any]:
    """The keys of a parameter group for a decay of this form: torch's ``weight_decay`` for ``l2``, ``shrink`` for the two others."""
    return {"weight_decay": decay} if form == "l2" else {"weight_decay": 0.0, "shrink": decay}


def shrink_before_steps(optimizer: TorchOptimizer, form: Literal["decoupled", "plain"]) -> None:
    """Have every step of ``optimizer`` begin by shrinking the weights that have a gradient, by their group's ``shrink``."""

    from ablate.optimizers.steps.rate_per_seed import spread

    def shrink(optimizer: TorchOptimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            share = group["shrink"] * group["lr"] if form == "decoupled" else group["shrink"]
            with torch.no_grad():
                if isinstance(share, torch.Tensor):
                    for parameter in parameters:
                        parameter.mul_(1 - spread(share, parameter))
                elif parameters:
                    torch._foreach_mul_(parameters, 1 - share)

    optimizer.register_step_pre_hook(shrink)
