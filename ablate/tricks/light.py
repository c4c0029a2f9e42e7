"""Other light on a picture: brightness and contrast. Targets stay."""

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
        "Makes training pictures brighter or darker as a whole.",
        source="Howard 2013, Some Improvements on Deep Convolutional Neural Network Based Image Classification",
        helps="Pictures taken in unlike light.",
        costs="More epochs to converge.",
        interacts="Of no use where pixels are standardised picture by picture. Amounts are in the inputs' unit: 1 is white − black before standardise.",
    ),
)
class Brightness(Trick):
    """Each chosen sample gets one number added to all its pixels, drawn evenly from −``amount`` … ``amount``; values are not cut to the inputs' range."""

    stacked = True
    shorthand = "amount"
    order = 24

    amount: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.2, description="most that is added or taken away, in the inputs' unit"
    )
    share: Share = Field(default=1.0, description="share of each batch to change")

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
        "Stretches or flattens each training picture about its own mean.",
        source="Howard 2013, Some Improvements on Deep Convolutional Neural Network Based Image Classification",
        helps="Pictures taken in unlike light.",
        costs="More epochs to converge.",
        interacts="Of no use where pixels are standardised picture by picture.",
    ),
)
class Contrast(Trick):
    """Each chosen sample becomes mean + (picture − mean)·factor, the factor even in the logarithm between 1/(1 + ``by``) and 1 + ``by``.

    The mean is that of all its pixels and channels; values are not cut to the inputs' range.
    """

    stacked = True
    shorthand = "by"
    order = 25

    by: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.25, description="strongest stretch; 0.25: from 1/1.25 to 1.25 times the contrast"
    )
    share: Share = Field(default=1.0, description="share of each batch to change")

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
