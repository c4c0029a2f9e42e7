"""Label smoothing."""

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
        "Trains toward 1 − ε instead of 1 for the true class.",
        source="Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, section 7",
        helps="For classification: better calibration, often slightly better accuracy.",
        costs="The training loss no longer approaches 0; the network is a worse teacher for distillation.",
        interacts=(
            "Class indices become probabilities, which the loss must support (cross_entropy does). Applied after "
            "mixup and cutmix."
        ),
    ),
)
class LabelSmoothing(Trick):
    """Targets become (1 − ε)·target + ε/classes, which equals torch's ``label_smoothing`` for cross-entropy.

    Validation targets are not smoothed.
    """

    stacked = True
    any_inputs = True
    shorthand = "epsilon"
    order = 35
    examples = ({}, {"epsilon": {"linear": [0.3, 0.1]}})
    example_needs = "classes"

    epsilon: Annotated[Scheduled[float], Range(ge=0, lt=1)] = Field(
        default=0.1, description="probability that is spread over all classes"
    )

    def check(self, spec: Spec) -> None:
        check_classes("label_smoothing", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Raises ValueError if targets are not classes."""
        if batch.true_targets.is_floating_point():
            raise ValueError(
                "trick (=label_smoothing) requires class indices as targets, but the targets are floats. Remove it."
            )
        targets = soft(batch)
        smoothed = smooth(targets, self.now.epsilon, class_axis(batch, targets))
        return replace(batch, targets=smoothed, unsmoothed=targets)


def smooth(probabilities: Tensor, epsilon: float, axis: int) -> Tensor:
    """(1 − ε)·p + ε/classes along ``axis``. Samples of NaN (ignored by the loss) stay NaN."""
    classes = probabilities.shape[axis]
    return (1 - epsilon) * probabilities + epsilon / classes * probabilities.sum(dim=axis, keepdim=True)
