"""AdaSecant: per-parameter learning rates from secants along the path of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ablate.optimizers.steps.grouped import GroupedOptimizer
from ablate.optimizers.steps.rate_per_seed import spread

DAMPING = 1e-7
"""Initial value of the statistics, which also keeps denominators above 0 (the authors' value)."""

SHORTEST, LONGEST, AFTER_AN_OUTLIER, AT_FIRST = 1.5, 1e8, 2.2, 2.1
"""Bounds of the memory in steps, and its value after an outlier (the authors' values)."""


class AdaSecant(GroupedOptimizer):
    """p ← p − lr·η·g̃ with η = √E[Δ²]/√E[α²] − E[αΔ]/E[α²], elementwise: Δ are the steps, α the changes of the gradient
    from step to step.

    Gradients are first divided by their norm over the tensor (``stacked``: over each seed's). g̃ = (g + γE[g])/(1 + γ)
    has less variance than g; γ = √E[((g − g̃′)(g̃′ − E[g]))²]/√E[((E[g] − g)(g̃′ − E[g]))²], at most ``gamma_clip``,
    where g̃′ is that of the last step. E[g] decays with ``decay``, all other means with the element's memory τ ← (1 −
    E[Δ]²/E[Δ²])τ + 1, which is reset to 2.2 if g or α is more than two standard deviations from its mean.

    Source: Gulcehre, Moczulski and Bengio 2014, ADASECANT: Robust Adaptive Secant Method for Stochastic Gradient. Where
    the authors' program differs from the paper's algorithm, this class follows the program: γ from root mean squares,
    the product αΔ of the same step, bounds on τ, ``eps`` inside the roots of η. ``adagrad`` divides steps by max(1,
    √Σg̃²), as in the paper's section on convergence. On noisy quadratics, the algorithm as printed (α with the step
    before it) performs much worse.
    """

    takes_rates = True
    """Its statistics use the steps as taken, so a learning rate per seed must be applied before."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        *,
        weight_decay: float = 0.0,
        decay: float = 0.95,
        gamma_clip: float = 1.8,
        largest: float = 50.0,
        variance_reduction: bool = True,
        adagrad: bool = False,
        eps: float = 1e-6,
        stacked: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.decay, self.gamma_clip, self.largest, self.eps = decay, gamma_clip, largest, eps
        self.variance_reduction, self.adagrad, self.stacked = variance_reduction, adagrad, stacked

    def step_group(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """One step of the parameters of a group."""
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if group["weight_decay"]:
                gradient = gradient + group["weight_decay"] * parameter
            parameter.add_(self._move(parameter, self._normalised(gradient), group["lr"]))

    def _normalised(self, gradient: Tensor) -> Tensor:
        axes = tuple(range(int(self.stacked), gradient.dim()))
        if not axes:
            return gradient / (gradient.abs() + DAMPING)
        normalised: Tensor = gradient / (torch.linalg.vector_norm(gradient, dim=axes, keepdim=True) + DAMPING)
        return normalised

    def _move(self, parameter: Tensor, gradient: Tensor, lr: Any) -> Tensor:
        """The step Δ of one parameter; updates the statistics."""
        state = self._state(parameter, gradient)
        keep = 1 - 1 / state["memory"]
        state["gradient"].lerp_(gradient, 1 - self.decay)
        state["gradient_square"].lerp_(gradient**2, 1 - self.decay)
        mean = state["gradient"]
        corrected = self._corrected(state, gradient, mean, keep)

        change = gradient - state["last"]
        _forget(state["change"], keep, change)
        _forget(state["change_square"], keep, change**2)
        changes = state["change_square"] + self.eps
        rate = ((state["move_square"] + self.eps) / changes).sqrt() - state["product"] / changes
        move: Tensor = -spread(lr, parameter) * rate.clamp(-self.largest, self.largest) * corrected
        if self.adagrad:
            state["sum"].add_(corrected**2)
            move = move / state["sum"].sqrt().clamp(min=1)

        steady = state["move"] ** 2 / (state["move_square"] + DAMPING)
        memory = (1 - steady) * state["memory"] + 1 + DAMPING
        odd = _far(gradient, mean, state["gradient_square"]) | _far(change, state["change"], state["change_square"])
        _forget(state["move"], keep, move)
        _forget(state["move_square"], keep, move**2)
        _forget(state["product"], keep, move * change)
        state["memory"].copy_(torch.where(odd, AFTER_AN_OUTLIER, memory).clamp(SHORTEST, LONGEST))
        state["last"].copy_(gradient)
        return move

    def _corrected(self, state: dict[str, Any], gradient: Tensor, mean: Tensor, keep: Tensor) -> Tensor:
        """The variance-reduced gradient g̃."""
        if not self.variance_reduction:
            return gradient
        gamma = (state["gamma_above"].sqrt() / (state["gamma_below"] + DAMPING).sqrt()).clamp(max=self.gamma_clip)
        away = state["last_corrected"] - mean
        _forget(state["gamma_above"], keep, ((gradient - state["last_corrected"]) * away) ** 2)
        _forget(state["gamma_below"], keep, ((mean - gradient) * away) ** 2)
        corrected: Tensor = (gradient + gamma * mean) / (1 + gamma)
        state["last_corrected"].copy_(corrected)
        return corrected

    def _state(self, parameter: Tensor, gradient: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            names = ["gradient", "gradient_square", "change", "change_square", "product", "last"]
            if self.variance_reduction:
                names += ["gamma_above", "gamma_below", "last_corrected"]
            for name in names:
                state[name] = torch.full_like(parameter, DAMPING, memory_format=torch.preserve_format)
            # before the first step, the gradient is used instead of a step
            state["move"], state["move_square"] = gradient.clone(), gradient**2
            state["memory"] = torch.full_like(parameter, AT_FIRST, memory_format=torch.preserve_format)
            if self.adagrad:
                state["sum"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state


def _forget(mean: Tensor, keep: Tensor, value: Tensor) -> None:
    """mean ← keep·mean + (1 − keep)·value, in place."""
    mean.lerp_(value, 1 - keep)


def _far(value: Tensor, mean: Tensor, square: Tensor) -> Tensor:
    """Whether each value is more than two standard deviations from its mean."""
    return (value - mean) ** 2 > 4 * (square - mean**2).clamp(min=0)
