"""Accuracy: the fraction of correct predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.metrics.metric import Metric
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "metric",
    "accuracy",
    card=Card(
        "Fraction of samples whose largest output is the true class.",
        source="torch.argmax over the classes, ties to the first",
        helps="For balanced classes.",
        costs="Changes in steps of 1/n and ignores confidence; less sensitive than the loss.",
    ),
)
class Accuracy(Metric):
    """From 0 to 1, over all samples with a class (not −100).

    Predictions are (n, classes, …), or (n, 1, …) scores of class 1 against 0; targets are class indices (n, …).
    """

    better = "higher"
    task = "classification"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        if prediction.dim() < 2 or target.shape != prediction.shape[:1] + prediction.shape[2:]:
            raise ValueError(
                "metric (=accuracy) requires class indices as targets, but predictions are "
                f"{tuple(prediction.shape)}, targets {tuple(target.shape)}. Use a metric for regression, such as "
                "rmse."
            )
        guess = prediction.argmax(dim=1) if prediction.shape[1] > 1 else (prediction[:, 0] > 0).long()
        return (guess == target)[target >= 0].to(torch.float64).mean()
