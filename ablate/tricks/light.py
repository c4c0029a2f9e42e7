"""Change the brightness or contrast of images. Targets do not change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.pictures import Share, check_pictures, choose
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "brightness",
    card=Card(
        "Makes training images brighter or darker at random.",
        source="Howard 2013, Some Improvements on Deep Convolutional Neural Network Based Image Classification",
        helps="For images with varying illumination.",
        costs="Slower convergence.",
        interacts=(
            "No effect if images are standardized individually. Amounts are in the inputs' unit: 1 is white − black "
            "before standardise."
        ),
    ),
)
class Brightness(Trick):
    """Adds one number, drawn uniformly from −``amount`` … ``amount``, to all pixels of each chosen sample; the sum is
    not clipped.
    """

    stacked = True
    shorthand = "amount"
    order = 24
    examples = ({}, {"amount": {"linear": [0.1, 0.3]}, "share": 0.5})

    amount: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.2, description="maximum change, in the inputs' unit"
    )
    share: Share = Field(default=1.0, description="fraction of each batch to change")

    def check(self, spec: Spec) -> None:
        check_pictures("brightness", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        added = (noise.uniform(samples).to(batch.inputs.dtype) * 2 - 1) * self.now.amount
        chosen = choose(noise, samples, self.now.share)
        return replace(batch, inputs=batch.inputs + _per_sample(torch.where(chosen, added, 0.0)))


@register(
    "trick",
    "contrast",
    card=Card(
        "Increases or decreases the contrast of training images at random.",
        source="Howard 2013, Some Improvements on Deep Convolutional Neural Network Based Image Classification",
        helps="For images with varying illumination.",
        costs="Slower convergence.",
        interacts="No effect if images are standardized individually.",
    ),
)
class Contrast(Trick):
    """Each chosen sample becomes mean + (image − mean)·factor, the factor log-uniform between 1/(1 + ``by``) and 1 +
    ``by``.

    The mean is over all pixels and channels of the image; the result is not clipped.
    """

    stacked = True
    shorthand = "by"
    order = 25
    examples = ({}, {"by": {"linear": [0.1, 0.5]}, "share": 0.5})

    by: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.25, description="maximum relative change; 0.25: between 1/1.25 and 1.25 times the contrast"
    )
    share: Share = Field(default=1.0, description="fraction of each batch to change")

    def check(self, spec: Spec) -> None:
        check_pictures("contrast", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        factor = (1 + self.now.by) ** (noise.uniform(samples).to(batch.inputs.dtype) * 2 - 1)
        chosen = choose(noise, samples, self.now.share)
        mean = batch.inputs.mean(dim=(-3, -2, -1), keepdim=True)
        changed = mean + (batch.inputs - mean) * _per_sample(factor)
        return replace(batch, inputs=torch.where(_per_sample(chosen), changed, batch.inputs))


def _per_sample(values: Tensor) -> Tensor:
    """(..., N) → (..., N, 1, 1, 1)."""
    return values[..., None, None, None]
