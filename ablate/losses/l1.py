"""Mean absolute error as a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.losses.numbers import NumbersLoss
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "loss",
    "l1",
    card=Card(
        "Mean absolute error over all known targets; robust to outliers.",
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
