"""Turn pictures about their middle; landmarks and masks go along."""

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
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "rotate",
    card=Card(
        "Turns pictures by a random angle; landmarks and masks turn along.",
        source="Simard et al. 2003, Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis",
        helps="Small data of things that were not all held upright.",
        costs="More epochs to converge; sampling between pixels blurs a little; corners are lost.",
        interacts="Landmarks turn along, also beyond the picture's edge. Wrong where the angle is the class (6 and 9).",
    ),
)
class Rotate(Trick):
    """Each chosen sample turns about the picture's middle by an angle drawn evenly from −``degrees`` … ``degrees``, clockwise where it is positive."""

    stacked = True
    shorthand = "degrees"
    order = 21

    degrees: Annotated[Scheduled[float], Range(ge=0, le=180)] = Field(
        default=10.0, description="largest angle in either direction"
    )
    share: Share = Field(default=1.0, description="share of each batch to turn")
    fill: Fill = Field(default="edge", description="what stands in the vacated pixels; masks too")

    def check(self, spec: Spec) -> None:
        check_pictures("rotate", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        angle = (noise.uniform(samples).to(batch.inputs.dtype) * 2 - 1) * self.now.degrees
        chosen = choose(noise, samples, self.now.share)
        return transform(batch, rotation(angle), chosen, self.fill)


def rotation(degrees: Tensor) -> Tensor:
    """Maps (..., N, 2, 3) that turn clockwise as seen, since y points down, by ``degrees`` (..., N)."""
    angle = torch.deg2rad(degrees)
    return maps(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
