"""How sure a classifier is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch
from ablate.tricks.shared.mean_prediction import log_probabilities
from ablate.tricks.shared.replicas import lead

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "watch",
    "confidence",
    card=Card(
        "How sure a classifier is: its mean top probability, and entropy.",
        source="Guo et al. 2017, On Calibration of Modern Neural Networks; Pereyra et al. 2017 (entropy of the output)",
        helps="Beside accuracy: a mean top probability above it says that the network is too sure, as it usually is after long training.",
        costs="Next to nothing: the predictions of the validation part are there.",
        interacts="Only where targets are class numbers. label_smoothing, mixup and weight decay lower it.",
    ),
)
class Confidence(Watch):
    """Over the validation part, with p = softmax(outputs): ``confidence`` = mean of max p, ``entropy`` = mean of −Σ p·log p, in nats (at most log classes).

    One output stands for two classes, with p = sigmoid(output). ``confidence_spread`` is the deviation (of the population) of max p over the samples.
    """

    names = ("confidence", "confidence_spread", "entropy")

    _values: dict[str, Tensor] = PrivateAttr(default_factory=dict)

    def begin(self, epoch: int) -> None:
        self._values = {}

    def on_valid(self, prediction: Tensor, target: Tensor) -> None:
        if self.context.spec.task != "classification" or prediction.dim() < 2 + lead(self.context):
            return
        axis = 1 + lead(self.context)
        log_p = log_probabilities(prediction.double(), axis)
        p = log_p.exp()
        top = p.amax(dim=axis).reshape(self.count, -1)
        # p·log p → 0 as p → 0; the product of 0 and −∞ is no number
        entropy = -torch.where(p > 0, p * log_p, 0.0).sum(dim=axis).reshape(self.count, -1)
        self._values = {
            "confidence": top.mean(dim=1),
            "confidence_spread": top.std(dim=1, correction=0),
            "entropy": entropy.mean(dim=1),
        }

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        return self._values
