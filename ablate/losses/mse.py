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
        "Mean squared error over all known numbers; large errors dominate.",
        source="torch.nn.functional.mse_loss",
        helps="Regression with errors of one size.",
        costs="A few outliers decide the fit: compare l1, smooth_l1.",
        interacts="Missing targets (NaN) count neither in the sum nor in the number; numbers far from 0 need scaled targets.",
    ),
)
class Mse(Loss):
    """Σ (prediction − target)²/n over the n known targets; 0 where none is known."""

    task = "regression"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        target = same_shape("mse", prediction, target)
        if not self._missing:
            return torch.nn.functional.mse_loss(prediction, target)
        known = ~target.isnan()
        # the prediction's own value in the gaps: their difference is 0 and so is its gradient
        filled = torch.where(known, target, prediction.detach())
        return torch.nn.functional.mse_loss(prediction, filled, reduction="sum") / known.sum().clamp(min=1)

    def weight(self, target: Tensor) -> Tensor | int:
        return (~target.isnan()).sum() if self._missing else len(target)


def same_shape(loss: str, prediction: Tensor, target: Tensor) -> Tensor:
    """The target in the prediction's shape: (N,) becomes (N, 1). Raises ValueError for any other pair, which would broadcast to (N, N) numbers unnoticed."""
    if target.shape == prediction.shape:
        return target
    if prediction.shape == (*target.shape, 1):
        return target.unsqueeze(-1)
    raise ValueError(
        f"loss (={loss}) needs predictions and targets of one shape; they are {tuple(prediction.shape)} and {tuple(target.shape)}. "
        "Set the network's outputs to the targets' width."
    )
