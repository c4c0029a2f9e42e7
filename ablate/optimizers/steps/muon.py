"""Muon for hidden weights and AdamW for all others, as one optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ablate.optimizers.steps.grouped import GroupedOptimizer

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration: the largest slope at 0 for which singular values end near 1 (Jordan 2024)."""


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximates UVᵀ of each matrix UΣVᵀ: singular values are between 0.68 and 1.14. (…, A, B) → (…, A, B), each
    matrix separately.

    Newton-Schulz iteration x ← ax + b(xxᵀ)x + c(xxᵀ)²x on x/‖x‖, in the precision of the matrices. Source: Jordan et
    al. 2024, Muon: An optimizer for hidden layers in neural networks.
    """
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(GroupedOptimizer):
    """m ← μm + (1−μ)g; p ← (1 − lr·wd)·p − lr·s·O(m), with Nesterov O((1−μ)g + μm), where O orthogonalizes the weight
    as a matrix (out, the rest).

    s is √max(1, out/rest) (``match_adamw`` false), or 0.2·√max(out, rest), for which learning rates of AdamW are
    suitable. Groups whose ``part`` is ``adamw`` use the step of `torch.optim.AdamW`. ``stacked``: parameters are (R,
    …), and each seed has its own matrix. The steps equal those of torch.optim.Muon, except for its rounding to
    bfloat16; that class supports single matrices only and is not in all supported torch versions.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        *,
        nesterov: bool = True,
        weight_decay: float = 0.01,
        steps: int = 5,
        match_adamw: bool = False,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        stacked: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "betas": betas, "eps": eps}
        super().__init__(params, {**defaults, "part": "muon"})
        self.nesterov, self.steps, self.match_adamw, self.first = nesterov, steps, match_adamw, 1 + stacked
        for group in self.param_groups:
            for parameter in group["params"]:
                if group["part"] == "muon" and parameter.dim() <= self.first:
                    raise ValueError(f"muon (={tuple(parameter.shape)}) must be a weight with two or more axes.")
        others = self._others()
        # shares this optimizer's groups and state, so there is only one of each to schedule and save
        self._adamw = torch.optim.AdamW(others, betas=betas, fused=fused) if others else None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; returns the loss of the closure."""
        loss = super().step(closure)
        if self._adamw is not None:
            # loading a state replaces the groups and the state
            self._adamw.param_groups, self._adamw.state = self._others(), self.state
            self._adamw.step()
        return loss

    def _others(self) -> list[dict[str, Any]]:
        return [group for group in self.param_groups if group["part"] == "adamw"]

    def step_group(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """One step of the matrices of a group."""
        if group["part"] == "adamw":
            return
        means = self.buffers("momentum_buffer", parameters)
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, means, group["momentum"]) if self.nesterov else means
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for parameter, direction in zip(parameters, ahead, strict=True):
            matrices = direction.flatten(self.first)
            update = orthogonalised(matrices, self.steps).view_as(parameter)
            parameter.add_(update, alpha=-group["lr"] * self._scale(*matrices.shape[-2:]))

    def _scale(self, outputs: int, inputs: int) -> float:
        return 0.2 * math.sqrt(max(outputs, inputs)) if self.match_adamw else math.sqrt(max(1.0, outputs / inputs))
