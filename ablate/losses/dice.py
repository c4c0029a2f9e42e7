"""Dice loss for segmentation, alone and with cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.losses.classification import has_class, mean_of, probabilities
from ablate.losses.loss import Loss
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "loss",
    "dice",
    card=Card(
        "One minus the overlap (Dice) of predicted and true masks.",
        source="Milletari et al. 2016, V-Net; Sudre et al. 2017 (soft Dice of softmax probabilities, without squares)",
        helps="For segmentation of small objects: background pixels do not dominate the loss.",
        costs="Unstable gradients if a class is absent or tiny; extreme probabilities.",
        interacts="Requires masks, and logits (N, classes, …) from a segmentation network. dice_ce is more stable.",
    ),
)
class Dice(Loss):
    """1 − (2·Σ p·t + s)/(Σ p + Σ t + s) over the pixels of a sample, averaged over classes and samples.

    p are softmax probabilities (N, classes, …), t class indices (N, …) or probabilities (N, classes, …); ignored pixels
    (−100) count nowhere. The loss of a sample does not depend on the batch.
    """

    task = "classification"

    smooth: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="smoothing s, in pixels: prevents division by 0 if a class is absent"
    )
    background: bool = Field(default=True, description="include class 0")

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not classes, or not one per pixel."""
        super().check(name, spec)
        if spec.task == "classification" and not spec.places:
            raise ValueError(
                f"loss (={name}) requires segmentation masks, but the targets are one class per sample. Use "
                "cross_entropy."
            )

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if targets are not masks."""
        return self._dice("dice", prediction, target)

    def _dice(self, name: str, prediction: Tensor, target: Tensor) -> Tensor:
        truth, counts = probabilities(name, prediction, target)
        if prediction.dim() < 3:
            raise ValueError(
                f"loss (={name}) requires segmentation masks as targets, such as (N, H, W), but predictions are "
                f"{tuple(prediction.shape)}. Use cross_entropy."
            )
        keep = counts.unsqueeze(1)
        p, t = (torch.where(keep, x, 0.0).flatten(2) for x in (prediction.softmax(dim=1), truth))
        overlap = (2 * (p * t).sum(dim=2) + self.smooth) / (p.sum(dim=2) + t.sum(dim=2) + self.smooth)
        return 1 - (overlap if self.background else overlap[:, 1:]).mean()


@register(
    "loss",
    "dice_ce",
    card=Card(
        "Dice loss plus cross-entropy.",
        source="Taghanaki et al. 2019, Combo Loss; Isensee et al. 2021, nnU-Net",
        helps="For segmentation: combines the overlap of dice with the stable gradients of cross-entropy.",
        costs="One more hyperparameter: the weights of the two losses.",
        interacts="Requires masks, as dice does.",
    ),
)
class DiceCe(Dice):
    """dice_weight·dice + ce_weight·cross-entropy."""

    dice_weight: Annotated[float, Range(ge=0)] = Field(default=1.0, description="weight of the dice loss")
    ce_weight: Annotated[float, Range(ge=0)] = Field(default=1.0, description="weight of the cross-entropy")

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if targets are not masks."""
        dice, cross_entropy = self._both(prediction, target)
        return dice + cross_entropy

    def weight(self, target: Tensor) -> Tensor | int:
        """The number of samples for the Dice loss, of known positions for the cross-entropy."""
        if not self._missing:
            return len(target)
        known = has_class(target).sum()
        return torch.stack([torch.full_like(known, len(target)), known])

    @property
    def terms(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        return (lambda prediction, target: torch.stack(self._both(prediction, target))) if self._missing else None

    def _both(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        dice = self._dice("dice_ce", prediction, target)
        truth, counts = probabilities("dice_ce", prediction, target)
        cross_entropy = mean_of(-(truth * prediction.log_softmax(dim=1)).sum(1), counts)
        return self.dice_weight * dice, self.ce_weight * cross_entropy
