"""Targets that are not quite sure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.schedules import Scheduled
from ablate.tricks.shared.soft_targets import check_classes, class_axis, soft
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "label_smoothing",
    card=Card(
        "Trains towards 1 − ε for the true class, not towards certainty.",
        source="Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, section 7",
        helps="Classification: better calibrated, often slightly better.",
        costs="The train loss no longer goes to 0; networks are worse teachers.",
        interacts="Class numbers become probabilities: the loss must take them, as cross_entropy does. Smooths what mixup and cutmix mixed.",
    ),
)
class LabelSmoothing(Trick):
    """Targets become (1 − ε)·target + ε/classes; with cross_entropy that equals torch's ``label_smoothing``. Validation is not smoothed."""

    stacked = True
    shorthand = "epsilon"
    order = 35

    epsilon: Annotated[Scheduled[float], Range(ge=0, lt=1)] = Field(
        default=0.1, description="share that is spread over all classes"
    )

    def check(self, spec: Spec) -> None:
        check_classes("label_smoothing", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Raises ValueError where targets are no classes."""
        if batch.true_targets.is_floating_point():
            raise ValueError(
                "trick (=label_smoothing) needs targets that are class numbers; the data's are floats. Drop it."
            )
        targets = soft(batch)
        return replace(batch, targets=smooth(targets, self.now.epsilon, class_axis(batch, targets)))


def smooth(probabilities: Tensor, epsilon: float, axis: int) -> Tensor:
    """(1 − ε)·p + ε/classes along ``axis``; what is 0 everywhere (a sample that the loss leaves out) stays 0."""
    classes = probabilities.shape[axis]
    return (1 - epsilon) * probabilities + epsilon / classes * probabilities.sum(dim=axis, keepdim=True)
