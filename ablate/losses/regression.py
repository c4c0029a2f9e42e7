"""Regression losses: means over all known targets."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ablate.losses.loss import Loss
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "loss",
    "mse",
    card=Card(
        "Mean squared error over all non-missing targets; large errors dominate.",
        source="torch.nn.functional.mse_loss",
        helps="For regression with errors of similar size.",
        costs="A few outliers dominate the fit: compare l1 and smooth_l1.",
        interacts="Missing targets (NaN) are ignored. Scale targets that are far from 0.",
    ),
)
class Mse(Loss):
    """Σ (prediction − target)²/n over the n known targets; 0 if none is known."""

    task = "regression"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        target = same_shape("mse", prediction, target)
        if not self._missing:
            return torch.nn.functional.mse_loss(prediction, target)
        known = ~target.isnan()
        # the prediction itself for missing targets: the difference and its gradient are 0
        filled = torch.where(known, target, prediction.detach())
        return torch.nn.functional.mse_loss(prediction, filled, reduction="sum") / known.sum().clamp(min=1)

    def weight(self, target: Tensor) -> Tensor | int:
        return (~target.isnan()).sum() if self._missing else len(target)


def same_shape(loss: str, prediction: Tensor, target: Tensor) -> Tensor:
    """The target in the prediction's shape: (N,) becomes (N, 1).

    Raises ValueError for other shapes, which would broadcast to (N, N).
    """
    if target.shape == prediction.shape:
        return target
    if prediction.shape == (*target.shape, 1):
        return target.unsqueeze(-1)
    raise ValueError(
        f"loss (={loss}) requires predictions and targets of the same shape, but they are "
        f"{tuple(prediction.shape)} and {tuple(target.shape)}. Set the network's outputs to the number of targets."
    )


class NumbersLoss(Loss):
    """Σ each(prediction, target)/n over the n known targets; 0 if none is known. ``each`` is 0 if both are equal."""

    name: ClassVar[str]
    """Its name in errors."""

    task = "regression"

    @abstractmethod
    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each element, of the shape of both."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if the shapes differ."""
        target = same_shape(self.name, prediction, target)
        if not self._missing:
            return self.each(prediction, target).mean()
        known = ~target.isnan()
        # the prediction itself for missing targets: their loss and its gradient are 0
        filled = torch.where(known, target, prediction.detach())
        return self.each(prediction, filled).sum() / known.sum().clamp(min=1)

    def weight(self, target: Tensor) -> Tensor | int:
        return (~target.isnan()).sum() if self._missing else len(target)


@register(
    "loss",
    "l1",
    card=Card(
        "Mean absolute error over all non-missing targets; robust to outliers.",
        source="torch.nn.functional.l1_loss",
        helps="For regression with outliers: it fits the median, mse fits the mean.",
        costs="The gradient has constant size, so training does not settle with a constant learning rate.",
        interacts="Missing targets (NaN) are ignored. smooth_l1 and huber have vanishing gradients at 0.",
    ),
)
class L1(NumbersLoss):
    """Σ |prediction − target|/n over the n known targets; 0 if none is known."""

    name = "l1"

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.l1_loss(prediction, target, reduction="none")


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
