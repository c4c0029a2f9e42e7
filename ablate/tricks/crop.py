"""Cut a random window out of each picture; landmarks and masks go along."""

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
        "Cuts a random window out of each picture, back to full size.",
        source="Szegedy et al. 2015, Going Deeper with Convolutions (resized); He et al. 2016, Deep Residual Learning (padded)",
        helps="Small data; the padded form is the standard for 32×32 pictures, the resized one for large ones.",
        costs="More epochs to converge; small areas may miss the thing altogether.",
        interacts="Landmarks go along, also beyond the picture's edge. Validation sees whole pictures, hence smaller things.",
    ),
)
class Crop(Trick):
    """``resized``: a window of a share of the area between ``area`` and 1, its aspect changed by up to ``ratio``, placed evenly inside the picture, stretched
    to the picture's size. ``padded``: ``pixels`` zeros on each side, and a window of the old size anywhere in that.

    A window that would be wider or higher than the picture is cut to the picture.
    """

    stacked = True
    order = 23

    form: Literal["resized", "padded"] = Field(
        default="resized", description="a window of another size, or of the same"
    )
    area: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.5, description="resized: the smallest share of the picture's area"
    )
    ratio: Annotated[Scheduled[float], Range(ge=1)] = Field(
        default=4 / 3, description="resized: the largest change of width to height; 1 keeps it"
    )
    pixels: int = Field(default=4, ge=1, description="padded: zeros on each side")
    share: Share = Field(default=1.0, description="share of each batch to crop")

    def check(self, spec: Spec) -> None:
        """Raises ValueError where the data are no pictures, or smaller than the padding."""
        check_pictures("crop", spec)
        side = min(spec.input_shape[-2:])
        if self.form == "padded" and self.pixels >= side:
            raise ValueError(
                f"crop.pixels (={self.pixels}) must be less than the picture's side ({side}). Choose fewer."
            )

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
    """Width, height and the middle's place, each (..., N) as shares of the picture's sides (the middle from the picture's own), from uniforms (..., 4, N)."""
    size, stretch, x, y = draw.unbind(-2)
    share = area + (1 - area) * size
    aspect = torch.exp((2 * stretch - 1) * math.log(ratio))
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    return width, height, (x - 0.5) * (1 - width), (y - 0.5) * (1 - height)
