"""Base of regression losses: a mean over all known targets."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ablate.losses.loss import Loss
from ablate.losses.mse import same_shape
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class NumbersLoss(Loss):
    """Σ each(prediction, target)/n over the n known targets; 0 if none is known. ``each`` is 0 if both are equal."""

    name: ClassVar[str]
    """Its name in errors."""

    task = "regression"

    @abstractmethod
    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each element, of the shape of both."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if the shapes differ."""
        target = same_shape(self.name, prediction, target)
        if not self._missing:
            return self.each(prediction, target).mean()
        known = ~target.isnan()
        # the prediction itself for missing targets: their loss and its gradient are 0
        filled = torch.where(known, target, prediction.detach())
        return self.each(prediction, filled).sum() / known.sum().clamp(min=1)

    def weight(self, target: Tensor) -> Tensor | int:
        return (~target.isnan()).sum() if self._missing else len(target)
