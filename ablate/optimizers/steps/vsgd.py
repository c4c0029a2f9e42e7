"""vSGD: per-parameter learning rates from the gradient's signal, noise and curvature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ablate.optimizers.steps.rate_per_seed import spread

FIRST_STEP = 1e-3
"""The size of a step, in the weight's unit, while its curvature is unknown."""

SURE = 3.0
"""A difference of gradients is used for the curvature if it exceeds its noise by this many standard deviations."""


class VSGD(torch.optim.Optimizer):
    """p ← p − lr·η·g with η = ḡ²/v̄ · h̄/(h²)‾, elementwise: means of the gradient, its square, the curvature h and its
    square.

    Each mean decays with the element's memory τ, m ← (1 − 1/τ)m + x/τ, and τ ← (1 − ḡ²/v̄)τ + 1; if g or h is more than
    two standard deviations from its mean, τ first increases by 1. This is vSGD-l of Schaul, Zhang and LeCun 2013, No
    More Pesky Learning Rates, with curvature, its variance and outliers as in vSGD-fd of Schaul and LeCun 2013,
    Adaptive learning rates and parallelization for stochastic, sparse, non-smooth gradients, algorithm 1. A batch
    counts as one sample: the second moment of its mean gradient is the papers' v/n + (n−1)/n·ḡ².

    The curvature is computed in one of two ways:

    - ``step(closure)`` is vSGD-fd: h = |g(p + ḡ) − g(p)|/|ḡ| on the same batch. The closure clears the gradients,
      computes loss and gradients and returns the loss; it is called twice. Weights do not change in the slow start,
      ``window`` steps that initialize the means.
    - ``step()`` has one gradient per batch. Differences between single batches are mostly noise, so it uses a
      secant between windows of ``window`` steps: h = |ΔG|/|ΔP| of mean gradients and mean weights, if |ΔG| is
      at least three times its noise √(2(v̄ − ḡ²)/window) or no curvature is known yet. This is not from the
      papers. It starts with steps of g/√v̄ · 0.001.

    ``wants_closure`` tells a training loop which of the two to call.

    After the slow start, v̄ and h̄ are multiplied by ``caution`` (the papers' C). ``largest`` bounds η if the loss is
    nearly linear.
    """

    takes_rates = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        *,
        weight_decay: float = 0.0,
        window: int = 10,
        caution: float = 2.0,
        largest: float = 10.0,
        wants_closure: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.window, self.caution, self.largest = window, caution, largest
        self.wants_closure = wants_closure

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; returns the loss of the closure. Parameters without a gradient are not changed."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        gradients = [self._gradient(group, p).clone() for group, p in work]
        ahead = self._curvatures_ahead(work, gradients, closure) if closure is not None else None
        for i, ((group, parameter), gradient) in enumerate(zip(work, gradients, strict=True)):
            state = self._state(parameter)
            state["step"] += 1
            curvature = ahead[i] if ahead is not None else self._secant(parameter, gradient, state)
            self._learn(state, gradient, curvature, every=1 if ahead is not None else self.window)
            if ahead is None or state["step"] > self.window:
                parameter.sub_(self._rate(state) * gradient * spread(group["lr"], parameter))
        return loss

    def _gradient(self, group: dict[str, Any], parameter: Tensor) -> Tensor:
        assert parameter.grad is not None
        decay = group["weight_decay"]
        return parameter.grad + decay * parameter if decay else parameter.grad

    def _curvatures_ahead(
        self, work: list[tuple[dict[str, Any], Tensor]], gradients: list[Tensor], closure: Callable[[], float]
    ) -> list[Tensor]:
        """The curvature of each parameter, from the gradient of the same batch at weights moved by the mean gradient;
        NaN if they did not move.
        """
        here = [p.clone() for _, p in work]
        plain = [p.grad for _, p in work]
        for (_, parameter), gradient in zip(work, gradients, strict=True):
            state = self._state(parameter)
            parameter.add_(state["mean"] if state["step"] else gradient)
        with torch.enable_grad():
            closure()
        curvatures = []
        for (group, parameter), gradient, origin, before in zip(work, gradients, here, plain, strict=True):
            curvatures.append(_slope(self._gradient(group, parameter) - gradient, parameter - origin, origin))
            parameter.copy_(origin)
            parameter.grad = before
        return curvatures

    def _secant(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any]) -> Tensor | None:
        """The curvature at the end of a window, NaN if it is unknown; None within a window."""
        if "gradients" not in state:
            state["gradients"], state["weights"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["gradients"].add_(gradient)
        state["weights"].add_(parameter)
        if state["step"] % self.window:
            return None
        slope = None
        gradients, weights = state["gradients"] / self.window, state["weights"] / self.window
        if "last_gradients" in state:
            change = gradients - state["last_gradients"]
            noise = (2 * (state["square"] - state["mean"] ** 2).clamp(min=0) / self.window).sqrt()
            telling = (change.abs() > SURE * noise) | (state["curvature_square"] == 0)
            slope = torch.where(telling, _slope(change, weights - state["last_weights"], weights), torch.nan)
        state["last_gradients"], state["last_weights"] = gradients, weights
        state["gradients"].zero_()
        state["weights"].zero_()
        return slope

    def _learn(self, state: dict[str, Any], gradient: Tensor, curvature: Tensor | None, *, every: int) -> None:
        """Update the means with a gradient and, at the end of a window, a curvature."""
        mean, square, slope, slope_square = (state[key] for key in ("mean", "square", "curvature", "curvature_square"))
        start = self.window if every == 1 else 2 * self.window
        if state["step"] <= start:
            memory = torch.full_like(mean, float(state["step"]))
        else:
            if state["step"] == start + 1:
                state["memory"].fill_(float(start))
                square.mul_(self.caution)
                slope.mul_(self.caution)
                slope_square.mul_(self.caution**2)
            memory = state["memory"]
            odd = (gradient - mean) ** 2 > 4 * (square - mean**2)
            if curvature is not None:
                odd |= (curvature - slope) ** 2 > 4 * (slope_square - slope**2)  # false for NaN
            memory.add_(odd.to(memory.dtype))
        mean.add_((gradient - mean) / memory)
        square.add_((gradient**2 - square) / memory)
        if curvature is not None:
            share = torch.where(curvature.isnan(), 0.0, (every / memory).clamp(max=1))
            curvature = curvature.nan_to_num(nan=0.0)
            slope.add_((curvature - slope) * share)
            slope_square.add_((curvature**2 - slope_square) * share)
        if state["step"] > start:
            memory.mul_(1 - _share(mean**2, square)).add_(1)

    def _rate(self, state: dict[str, Any]) -> Tensor:
        found = _share(state["mean"] ** 2, state["square"]) * _share(state["curvature"], state["curvature_square"])
        first = _share(torch.full_like(found, FIRST_STEP), state["square"].sqrt())
        return torch.where(state["curvature_square"] > 0, found.clamp(max=self.largest), first)

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = 0
            for key in ("mean", "square", "curvature", "curvature_square"):
                state[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["memory"] = torch.ones_like(parameter, memory_format=torch.preserve_format)
        return state


def _slope(change: Tensor, move: Tensor, where: Tensor) -> Tensor:
    """|change/move|; NaN if the move is below the rounding error of the weights."""
    resolution = 16 * torch.finfo(where.dtype).eps * where.abs()
    return torch.where(move.abs() > resolution, (change / move).abs(), torch.nan)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """part/whole; 0 if whole is 0."""
    return torch.where(whole > 0, part / whole, 0.0)
