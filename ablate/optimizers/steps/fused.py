"""torch's fused steps of SGD and Adam, without what `torch.optim` does around them in every step.

For a small network this takes longer than the kernel itself: a record for the profiler, collecting the tensors of each
parameter, and grouping them by device and dtype. The optimizers have the same state, parameter groups and hooks as
torch's, and bitwise equal results.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ablate.optimizers.steps.grouped import GroupedOptimizer


class Fused(GroupedOptimizer):
    """Calls the hooks of its step itself, so that torch does not wrap the step in a record for the profiler."""

    def step(self, closure: Any = None) -> Any:
        """One step, between its hooks; returns the loss of the closure."""
        for before in list(self._optimizer_step_pre_hooks.values()):
            before(self, (closure,), {})
        loss = super().step(closure)
        for after in list(self._optimizer_step_post_hooks.values()):
            after(self, (closure,), {})
        return loss

    step.hooked = True  # type: ignore[attr-defined]


class FusedSGD(Fused, torch.optim.SGD):
    """`torch.optim.SGD` with ``fused=True``, for parameters of one dtype on the CPU."""

    def step_group(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """One step of the parameters of a group."""
        torch._fused_sgd_(
            parameters,
            gradients,
            self.buffers("momentum_buffer", parameters) if group["momentum"] else [],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=False,
        )


class FusedAdam(Fused, torch.optim.Adam):
    """`torch.optim.Adam` with ``fused=True``, for parameters of one dtype on the CPU."""

    kernel = staticmethod(torch._fused_adam_)

    def step_group(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """One step of the parameters of a group."""
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["step"] = torch.zeros((), dtype=torch.float32)
        steps = [self.state[parameter]["step"] for parameter in parameters]
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        self.kernel(
            parameters,
            gradients,
            self.buffers("exp_avg", parameters),
            self.buffers("exp_avg_sq", parameters),
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


class FusedAdamW(FusedAdam):
    """The same for `torch.optim.AdamW`."""

    kernel = staticmethod(torch._fused_adamw_)
