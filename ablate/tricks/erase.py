"""Hide a rectangle of each picture: cutout's square of zeros, random erasing's rectangle. Targets stay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

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
    "cutout",
    card=Card(
        "Sets a random square of each training picture to zero.",
        source="DeVries and Taylor 2017, Improved Regularization of Convolutional Neural Networks with Cutout",
        helps="Networks that look at one detail only; small pictures.",
        costs="A square as large as the thing leaves nothing to learn from.",
        interacts="Zero is the mean only after standardise or zero_center. Hidden landmarks are still asked for; masks stay.",
    ),
)
class Cutout(Trick):
    """The square's middle is drawn evenly over the pixels, so that part of it may lie outside, as in the paper."""

    stacked = True
    shorthand = "pixels"
    order = 27

    pixels: int = Field(
        default=8, ge=1, description="side of the square, in pixels of the picture that the network sees"
    )
    share: Share = Field(default=1.0, description="share of each batch to cut")

    def check(self, spec: Spec) -> None:
        """Raises ValueError where the data are no pictures, or smaller than the square."""
        check_pictures("cutout", spec)
        side = min(spec.input_shape[-2:])
        if self.pixels >= side:
            raise ValueError(
                f"cutout.pixels (={self.pixels}) must be less than the picture's side ({side}). Choose fewer."
            )

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples, _, height, width = batch.inputs.shape[-4:]
        top = noise.integers(0, height, samples) - self.pixels // 2
        left = noise.integers(0, width, samples) - self.pixels // 2
        chosen = choose(noise, samples, self.now.share)
        hidden = rectangles(top, top + self.pixels, left, left + self.pixels, (height, width))
        hidden = hidden & chosen[..., None, None, None]
        return replace(batch, inputs=batch.inputs.masked_fill(hidden, 0.0))


@register(
    "trick",
    "random_erasing",
    card=Card(
        "Replaces a random rectangle of some training pictures by noise.",
        source="Zhong et al. 2020, Random Erasing Data Augmentation",
        helps="Things that are often partly hidden, such as people in a crowd.",
        costs="A rectangle as large as the thing leaves nothing to learn from.",
        interacts="Uniform noise is in 0 … 1, the unit of pictures before standardise: take normal after it. Hidden landmarks are still asked for; masks stay.",
    ),
)
class RandomErasing(Trick):
    """The rectangle covers between ``smallest`` and ``largest`` of the area, is up to ``ratio`` times as wide as high or as high as wide, and lies inside.

    Sides are whole pixels, at least 1 and at most the picture's: an area that an aspect does not allow is cut, where the paper draws again.
    """

    stacked = True
    shorthand = "share"
    order = 28

    share: Share = Field(default=0.5, description="share of each batch to erase in")
    smallest: Annotated[float, Range(gt=0, le=1)] = Field(default=0.02, description="smallest share of the area")
    largest: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.4, description="largest share of the area; at least the smallest"
    )
    ratio: Annotated[float, Range(ge=1)] = Field(default=3.3, description="largest ratio of the sides")
    fill: Literal["uniform", "normal", "zero", "mean"] = Field(
        default="uniform", description="what stands in it: a draw for each pixel, 0, or the picture's mean"
    )

    def check(self, spec: Spec) -> None:
        check_pictures("random_erasing", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples, _, height, width = batch.inputs.shape[-4:]
        draw = noise.uniform(4, samples).to(batch.inputs.dtype)
        chosen = choose(noise, samples, self.now.share)
        share = self.smallest + (max(self.now.largest, self.smallest) - self.smallest) * draw[..., 0, :]
        aspect = torch.exp((2 * draw[..., 1, :] - 1) * math.log(self.ratio))
        area = share * (height * width)
        high = (area / aspect).sqrt().round().clamp(1, height)
        wide = (area * aspect).sqrt().round().clamp(1, width)
        top = (draw[..., 2, :] * (height - high + 1)).floor()
        left = (draw[..., 3, :] * (width - wide + 1)).floor()
        hidden = rectangles(top, top + high, left, left + wide, (height, width)) & chosen[..., None, None, None]
        return replace(batch, inputs=torch.where(hidden, self._filling(batch.inputs, noise), batch.inputs))

    def _filling(self, inputs: Tensor, noise: Noise) -> Tensor:
        if self.fill == "mean":
            return inputs.mean(dim=(-3, -2, -1), keepdim=True)
        if self.fill == "zero":
            return torch.zeros((), dtype=inputs.dtype, device=inputs.device)
        drawn = noise.uniform(*inputs.shape[-4:]) if self.fill == "uniform" else noise.normal(*inputs.shape[-4:])
        return drawn.to(inputs.dtype)


def rectangles(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, size: tuple[int, int]) -> Tensor:
    """Which pixels lie in rows ``top`` … ``bottom`` − 1 and columns ``left`` … ``right`` − 1, each (..., N): bool (..., N, 1, H, W)."""
    height, width = size
    rows, columns = torch.arange(height, device=top.device), torch.arange(width, device=top.device)
    in_rows = (rows >= top[..., None]) & (rows < bottom[..., None])
    in_columns = (columns >= left[..., None]) & (columns < right[..., None])
    return (in_rows[..., :, None] & in_columns[..., None, :]).unsqueeze(-3)
