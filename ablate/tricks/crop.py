"""Random crops; keypoints and masks are transformed too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.affine import maps, transform
from ablate.tricks.shared.pictures import Share, check_pictures, choose
from ablate.tricks.shift import shifted
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "crop",
    card=Card(
        "Crops a random window of each image; keypoints and masks follow.",
        source=(
            "Szegedy et al. 2015, Going Deeper with Convolutions (resized); He et al. 2016, Deep Residual Learning "
            "(padded)"
        ),
        helps="For small datasets. The padded form is standard for 32×32 images, the resized form for large images.",
        costs="Slower convergence; small crops may miss the object.",
        interacts="Keypoints may end up outside the image. Validation uses full images, so objects appear smaller.",
    ),
)
class Crop(Trick):
    """``resized``: a window with a fraction between ``area`` and 1 of the image's area and an aspect ratio changed by
    up to ``ratio``, placed uniformly inside the image and resized to the image size. ``padded``: pads each side with
    ``pixels`` zeros and crops a window of the original size at a random position.

    A window wider or higher than the image is cut to the image.
    """

    stacked = True
    moves_pixels = True
    order = 23
    examples = ({}, {"area": {"linear": [1, 0.3]}, "share": 0.5}, {"form": "padded", "pixels": 2})

    form: Literal["resized", "padded"] = Field(
        default="resized",
        description=(
            "resized: random area and aspect ratio, resized to the image size; padded: zero padding, then a crop of "
            "the image size"
        ),
    )
    area: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.5, description="resized: smallest fraction of the image's area"
    )
    ratio: Annotated[Scheduled[float], Range(ge=1)] = Field(
        default=4 / 3, description="resized: maximum change of the aspect ratio; 1: no change"
    )
    pixels: int = Field(default=4, ge=1, description="padded: number of zeros on each side")
    share: Share = Field(default=1.0, description="fraction of each batch to crop")

    def check(self, spec: Spec) -> None:
        """Raises ValueError if the samples are not images or not larger than the padding."""
        check_pictures("crop", spec)
        side = min(spec.input_shape[-2:])
        if self.form == "padded" and self.pixels >= side:
            raise ValueError(f"crop.pixels (={self.pixels}) must be less than the image size ({side}).")

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples = batch.inputs.shape[-4]
        if self.form == "padded":
            moves = noise.integers(-self.pixels, self.pixels + 1, samples, 2)
            chosen = choose(noise, samples, self.now.share)
            return shifted(batch, moves * chosen[..., None], "zero")
        draw = noise.uniform(4, samples).to(batch.inputs.dtype)
        chosen = choose(noise, samples, self.now.share)
        width, height, across, down = window(draw, self.now.area, self.now.ratio)
        rows, columns = batch.inputs.shape[-2:]
        zero = torch.zeros_like(width)
        forward = maps(1 / width, zero, zero, 1 / height, -across * columns / width, -down * rows / height)
        return transform(batch, forward, chosen, "edge")


def window(draw: Tensor, area: float, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Width, height and center offset, each (..., N) as fractions of the image size, from uniforms (..., 4, N)."""
    size, stretch, x, y = draw.unbind(-2)
    share = area + (1 - area) * size
    aspect = torch.exp((2 * stretch - 1) * math.log(ratio))
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    return width, height, (x - 0.5) * (1 - width), (y - 0.5) * (1 - height)
