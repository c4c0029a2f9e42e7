"""Cross-entropy of softmax probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.losses.loss import Loss
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "loss",
    "cross_entropy",
    card=Card(
        "Negative log of the true class's softmax probability.",
        source="torch.nn.functional.cross_entropy",
        helps="For classification with mutually exclusive classes; trains when the squared error stalls.",
        interacts="The network's outputs are logits: no softmax at its end.",
    ),
)
class CrossEntropy(Loss):
    """−log softmax(prediction)[target], averaged over the batch; predictions (N, classes, …), targets class indices (N,
    …) or probabilities (N, classes, …).
    """

    task = "classification"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(prediction, target)
