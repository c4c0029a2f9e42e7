"""Binary cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.losses.loss import Loss
from ablate.losses.mse import same_shape
from ablate.registry import Card, register
from ablate.registry.constants import constant_like
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "loss",
    "bce",
    card=Card(
        "Binary cross-entropy, with a sigmoid for each output.",
        source="torch.nn.functional.binary_cross_entropy_with_logits",
        helps="For labels that are not mutually exclusive, and for two classes with one output.",
        costs="With many classes, most targets are negative: compare cross_entropy and focal.",
        interacts="The network's outputs are logits: no sigmoid at its end. Missing targets (NaN) are ignored.",
    ),
)
class Bce(Loss):
    """−Σ (w·t·log σ(x) + (1 − t)·log(1 − σ(x)))/n over the n known targets t in [0, 1]; 0 if none is known.

    Class indices (N, …) are used one class against the rest, with predictions (N, classes, …); with a single output,
    class 1 is positive and class 0 negative. Negative class indices are missing targets.
    """

    positive: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="w: weight of positive targets; negative targets have weight 1"
    )

    def for_data(self, targets: Tensor | None, spec: Spec) -> Bce:
        """Raises ValueError if a target is not a probability."""
        if targets is not None and targets.is_floating_point():
            known = targets[~targets.isnan()]
            low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
            if low < 0 or high > 1:
                raise ValueError(
                    f"loss (=bce) requires targets between 0 and 1, but the data have targets from {low:g} to "
                    f"{high:g}. Use a regression loss, such as mse."
                )
        return self

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if the shapes do not match."""
        if target.is_floating_point():
            target = same_shape("bce", prediction, target)
            if not self._missing:
                return self._each(prediction, target).mean()
            known = ~target.isnan()
        else:
            target, known = self._answers(prediction, target)
        each = self._each(prediction, torch.where(known, target, 0.0))
        return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)

    def weight(self, target: Tensor) -> Tensor | int:
        if not target.is_floating_point():
            return (target >= 0).sum()
        return (~target.isnan()).sum() if self._missing else len(target)

    def _each(self, prediction: Tensor, target: Tensor) -> Tensor:
        weight = None if self.positive == 1 else constant_like(self.positive, prediction)
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        return loss(prediction, target.to(prediction.dtype), reduction="none", pos_weight=weight)

    def _answers(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Class indices as 0 and 1 of the prediction's shape, and which of them are known."""
        if prediction.shape == target.shape:
            return target.to(prediction.dtype), target >= 0
        if target.shape != prediction.shape[:1] + prediction.shape[2:]:
            same_shape("bce", prediction, target)
        column = target.unsqueeze(1)
        classes = torch.arange(prediction.shape[1], device=target.device) if prediction.shape[1] > 1 else None
        if classes is None:
            return column.to(prediction.dtype), column >= 0
        hot = (column == classes.view(-1, *(1 for _ in target.shape[1:]))).to(prediction.dtype)
        return hot, (column >= 0).expand_as(hot)
