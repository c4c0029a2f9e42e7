"""Squared error of softmax probabilities: the loss that cross-entropy is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.losses.class_targets import mean_of, probabilities
from ablate.losses.loss import Loss
from ablate.registry import Card, register

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "loss",
    "mse_on_softmax",
    card=Card(
        "Mean squared error between softmax probabilities and the true class.",
        source="Brier 1950, Verification of Forecasts Expressed in Terms of Probability, divided by the number of classes",
        helps="A comparison with cross_entropy; wrong labels pull less, as the loss is bounded.",
        costs="Where the network is sure and wrong its gradient is nearly 0, so training stalls.",
        interacts="The network's output are logits: no softmax at its end.",
    ),
)
class MseOnSoftmax(Loss):
    """Σ (softmax(prediction) − target)²/classes, mean over samples.

    Predictions are (N, classes, …), targets class numbers (N, …) or probabilities (N, classes, …).
    """

    task = "classification"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError where targets are no classes."""
        truth, counts = probabilities("mse_on_softmax", prediction, target)
        return mean_of((prediction.softmax(dim=1) - truth).square().mean(dim=1), counts)
