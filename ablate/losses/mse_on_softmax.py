"""Squared error of softmax probabilities, as a comparison with cross-entropy."""

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
        source=(
            "Brier 1950, Verification of Forecasts Expressed in Terms of Probability, divided by the number of classes"
        ),
        helps="As a comparison with cross_entropy; wrong labels have less effect, because the loss is bounded.",
        costs="The gradient is nearly 0 if the network is confident and wrong, so training stalls.",
        interacts="The network's outputs are logits: no softmax at its end.",
    ),
)
class MseOnSoftmax(Loss):
    """Σ (softmax(prediction) − target)²/classes, averaged over the samples.

    Predictions are (N, classes, …), targets class indices (N, …) or probabilities (N, classes, …).
    """

    task = "classification"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if targets are not classes."""
        truth, counts = probabilities("mse_on_softmax", prediction, target)
        return mean_of((prediction.softmax(dim=1) - truth).square().mean(dim=1), counts)
