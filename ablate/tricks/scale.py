"""Scale images about their center; keypoints and masks are transformed too."""

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
        "Enlarges or shrinks images at random; keypoints and masks follow.",
        source=(
            "LeCun et al. 1998, Gradient-based learning applied to document recognition, section III.D (distorted "
            "training patterns)"
        ),
        helps="For objects at varying distances.",
        costs="Slower convergence; enlarged images lose their border, shrunken images get an empty one.",
        interacts="Keypoints may end up outside the image. Do not use if the size determines the class.",
    ),
)
class Scale(Trick):
    """Scales each chosen sample by a log-uniform factor between 1/(1 + ``by``) and 1 + ``by``: as often larger as
    smaller.
    """

    stacked = True
    moves_pixels = True
    shorthand = "by"
    order = 22
    examples = ({}, {"by": {"linear": [0.1, 0.5]}, "share": 0.5, "fill": "zero"})

    by: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.1, description="maximum relative change; 0.1: between 1/1.1 and 1.1 times the size"
    )
    share: Share = Field(default=1.0, description="fraction of each batch to scale")
    fill: Fill = Field(default="edge", description="how to fill pixels outside the original image; also for masks")

    def check(self, spec: Spec) -> None:
        check_pictures("scale", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        factor = (1 + self.now.by) ** (noise.uniform(samples).to(batch.inputs.dtype) * 2 - 1)
        chosen = choose(noise, samples, self.now.share)
        zero = torch.zeros_like(factor)
        return transform(batch, maps(factor, zero, zero, factor), chosen, self.fill)
