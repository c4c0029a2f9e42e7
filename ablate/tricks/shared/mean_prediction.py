"""The mean of several predictions for the same samples: of probabilities where there are classes, of numbers otherwise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


class MeanPrediction:
    """Adds predictions up, (N, outputs, …), with ``axis`` axes before the outputs.

    Of class scores the mean is log (1/k Σ softmax(scores)), which losses and metrics take for scores as it is; of one score per sample, the logit of the
    mean of sigmoids; of numbers, their mean. Half precision becomes float32.
    """

    def __init__(self, spec: Spec, axis: int = 1) -> None:
        self.classes, self.axis = spec.task == "classification", axis
        self.count, self.single = 0, False
        self._total: Tensor | None = None

    def add(self, prediction: Tensor) -> None:
        """Take one more."""
        if prediction.itemsize < 4:
            prediction = prediction.float()
        if self.classes:
            self.single = prediction.shape[self.axis] == 1
            prediction = log_probabilities(prediction, self.axis)
            self._total = prediction if self._total is None else torch.logaddexp(self._total, prediction)
        else:
            self._total = prediction if self._total is None else self._total + prediction
        self.count += 1

    def mean(self) -> Tensor:
        """The mean of those so far; needs one at least."""
        assert self._total is not None
        if not self.classes:
            return self._total / self.count
        mean = self._total - math.log(self.count)
        return mean.narrow(self.axis, 1, 1) - mean.narrow(self.axis, 0, 1) if self.single else mean


def log_probabilities(scores: Tensor, axis: int) -> Tensor:
    """log softmax of class scores; one score stands for two classes, with scores 0 and it."""
    if scores.shape[axis] == 1:
        scores = torch.cat([torch.zeros_like(scores), scores], dim=axis)
    return torch.log_softmax(scores, dim=axis)
