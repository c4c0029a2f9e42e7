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
        "Mean absolute error over all known numbers; outliers count no more than others.",
        source="torch.nn.functional.l1_loss",
        helps="Regression with outliers: it finds the median, mse the mean.",
        costs="The gradient has the same size everywhere, so a constant rate never settles.",
        interacts="Missing targets (NaN) count neither in the sum nor in the number. smooth_l1 and huber settle.",
    ),
)
class L1(NumbersLoss):
    """Σ |prediction − target|/n over the n known targets; 0 where none is known."""

    name = "l1"

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.l1_loss(prediction, target, reduction="none")
