"""Enlarge and shrink pictures about their middle; landmarks and masks go along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.affine import Fill, maps, transform
from ablate.tricks.shared.pictures import Share, check_pictures, choose
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "scale",
    card=Card(
        "Enlarges or shrinks pictures at random; landmarks and masks along.",
        source="LeCun et al. 1998, Gradient-based learning applied to document recognition, section III.D (distorted training patterns)",
        helps="Things that were seen from near and far.",
        costs="More epochs to converge; what is enlarged loses its rim, what is shrunk gets one.",
        interacts="Landmarks go along, also beyond the picture's edge. Wrong where size is what is to be told.",
    ),
)
class Scale(Trick):
    """Each chosen sample is multiplied by a factor between 1/(1 + ``by``) and 1 + ``by``, even in the logarithm: as often larger as smaller."""

    stacked = True
    shorthand = "by"
    order = 22

    by: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.1, description="largest enlargement; 0.1: from 1/1.1 to 1.1 times the size"
    )
    share: Share = Field(default=1.0, description="share of each batch to scale")
    fill: Fill = Field(default="edge", description="what stands in the vacated pixels; masks too")

    def check(self, spec: Spec) -> None:
        check_pictures("scale", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        factor = (1 + self.now.by) ** (noise.uniform(samples).to(batch.inputs.dtype) * 2 - 1)
        chosen = choose(noise, samples, self.now.share)
        zero = torch.zeros_like(factor)
        return transform(batch, maps(factor, zero, zero, factor), chosen, self.fill)
