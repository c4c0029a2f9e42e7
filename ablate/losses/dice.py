"""Overlap of predicted and true masks as a loss, alone and with cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.losses.class_targets import mean_of, probabilities
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
        "One minus the overlap of predicted and true masks.",
        source="Milletari et al. 2016, V-Net; Sudre et al. 2017 (soft Dice of softmax probabilities, squares left out)",
        helps="Segmentation of small objects: the many background pixels do not drown them.",
        costs="Gradients jump where a class is absent or tiny; probabilities get extreme.",
        interacts="Needs masks, and logits (N, classes, …) as a segmentation network gives them. dice_ce is steadier.",
    ),
)
class Dice(Loss):
    """1 − (2·Σ p·t + s)/(Σ p + Σ t + s) over a sample's places, mean over its classes and over samples: so it does not depend on the batch.

    p are softmax probabilities (N, classes, …), t class numbers (N, …) or probabilities (N, classes, …); places of no class (−100) count nowhere.
    """

    task = "classification"

    smooth: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="s, in pixels: keeps classes that a sample lacks from dividing by 0"
    )
    background: bool = Field(default=True, description="whether class 0 counts too")

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError where targets are no classes, or not one for each place."""
        super().check(name, spec)
        if spec.task == "classification" and not spec.places:
            raise ValueError(
                f"loss (={name}) needs masks; the data's targets are one class for each sample. Use cross_entropy."
            )

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError where targets are no masks."""
        return self._dice("dice", prediction, target)

    def _dice(self, name: str, prediction: Tensor, target: Tensor) -> Tensor:
        truth, counts = probabilities(name, prediction, target)
        if prediction.dim() < 3:
            raise ValueError(
                f"loss (={name}) needs masks, targets (N, H, W) or alike; predictions are {tuple(prediction.shape)}. Use cross_entropy."
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
        helps="Segmentation: the overlap of dice with the steady gradients of cross-entropy.",
        costs="One more number to choose: what the two count.",
        interacts="Needs masks, as dice does.",
    ),
)
class DiceCe(Dice):
    """dice_weight·dice + ce_weight·cross-entropy."""

    dice_weight: Annotated[float, Range(ge=0)] = Field(default=1.0, description="what the dice loss counts")
    ce_weight: Annotated[float, Range(ge=0)] = Field(default=1.0, description="what the cross-entropy counts")

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError where targets are no masks."""
        dice = self._dice("dice_ce", prediction, target)
        truth, counts = probabilities("dice_ce", prediction, target)
        return self.dice_weight * dice + self.ce_weight * mean_of(
            -(truth * prediction.log_softmax(dim=1)).sum(1), counts
        )
