"""The frame that all optimizers of this project share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor


class GroupedOptimizer(torch.optim.Optimizer):
    """Calls `step_group` for each parameter group; parameters without a gradient are not changed."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; returns the loss of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self.step_group(group, parameters, [p.grad for p in parameters])
        return loss

    @abstractmethod
    def step_group(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """One step of the parameters of a group that have gradients, in place."""

    def buffers(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        """The tensors of that name in the state, one per parameter; 0 at first."""
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if name not in state:
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return [state[name] for state in states]
