"""Rotate images about their center; keypoints and masks are transformed too."""

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
        "Rotates images by a random angle; keypoints and masks follow.",
        source="Simard et al. 2003, Best Practices for Convolutional Neural Networks",
        helps="For small datasets of objects that are not always upright.",
        costs="Slower convergence; interpolation blurs the image slightly; corners are lost.",
        interacts="Keypoints may end up outside the image. Do not use if the angle determines the class (6 and 9).",
    ),
)
class Rotate(Trick):
    """Rotates each chosen sample about the image center by an angle drawn uniformly from −``degrees`` … ``degrees``;
    positive is clockwise.
    """

    stacked = True
    moves_pixels = True
    shorthand = "degrees"
    order = 21
    examples = ({}, {"degrees": {"linear": [10, 90]}, "share": 0.5, "fill": "reflect"})

    degrees: Annotated[Scheduled[float], Range(ge=0, le=180)] = Field(
        default=10.0, description="maximum angle in either direction"
    )
    share: Share = Field(default=1.0, description="fraction of each batch to rotate")
    fill: Fill = Field(default="edge", description="how to fill pixels outside the original image; also for masks")

    def check(self, spec: Spec) -> None:
        check_pictures("rotate", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        angle = (noise.uniform(samples).to(batch.inputs.dtype) * 2 - 1) * self.now.degrees
        chosen = choose(noise, samples, self.now.share)
        return transform(batch, rotation(angle), chosen, self.fill)


def rotation(degrees: Tensor) -> Tensor:
    """Maps (..., N, 2, 3) that rotate clockwise (y points down) by ``degrees`` (..., N)."""
    angle = torch.deg2rad(degrees)
    return maps(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
