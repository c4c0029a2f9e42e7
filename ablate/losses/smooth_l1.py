"""Smooth L1 loss and Huber loss, which differ by a factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.losses.numbers import NumbersLoss
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "loss",
    "smooth_l1",
    card=Card(
        "Squared error near 0, absolute error beyond.",
        source="Girshick 2015, Fast R-CNN, equation 3; torch.nn.functional.smooth_l1_loss",
        helps="For regression with outliers: robust as l1, differentiable at 0 as mse.",
        costs="beta is in the targets' unit, so it depends on their scale.",
        interacts="Missing targets (NaN) are ignored.",
    ),
)
class SmoothL1(NumbersLoss):
    """x = prediction − target: x²/(2β) if |x| < β, else |x| − β/2. Averaged over the known targets."""

    name = "smooth_l1"
    shorthand = "beta"

    beta: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="error at which the loss changes from quadratic to linear"
    )

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.smooth_l1_loss(prediction, target, reduction="none", beta=self.beta)


@register(
    "loss",
    "huber",
    card=Card(
        "Squared error near 0, linear beyond; delta times smooth L1.",
        source="Huber 1964, Robust Estimation of a Location Parameter; torch.nn.functional.huber_loss",
        helps="For regression with outliers, if small errors should count as in mse.",
        costs="delta is in the targets' unit, and the loss of outliers increases with it.",
        interacts="Missing targets (NaN) are ignored.",
    ),
)
class Huber(NumbersLoss):
    """x = prediction − target: x²/2 if |x| ≤ δ, else δ(|x| − δ/2). Averaged over the known targets."""

    name = "huber"
    shorthand = "delta"

    delta: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="error at which the loss changes from quadratic to linear"
    )

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.huber_loss(prediction, target, reduction="none", delta=self.delta)
