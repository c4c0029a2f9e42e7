"""Mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.losses.loss import Loss
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "loss",
    "mse",
    card=Card(
        "Mean squared error over all known targets; large errors dominate.",
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
