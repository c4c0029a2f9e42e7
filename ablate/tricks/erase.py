"""Erase a rectangle of each image: cutout (a square of zeros) and random erasing. Targets do not change."""

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
        "Sets a random square of each training image to zero.",
        source="DeVries and Taylor 2017, Improved Regularization of Convolutional Neural Networks with Cutout",
        helps="For small images, and for networks that rely on a single detail.",
        costs="A square as large as the object removes all information.",
        interacts=(
            "Zero is the mean only after standardise or zero_center. Targets do not change, including covered "
            "keypoints and masks."
        ),
    ),
)
class Cutout(Trick):
    """The center of the square is drawn uniformly over the pixels, so part of the square may be outside the image, as
    in the paper.
    """

    stacked = True
    shorthand = "pixels"
    order = 27
    examples = ({"pixels": 3}, {"pixels": 4, "share": 0.5})

    pixels: int = Field(default=8, ge=1, description="side of the square, in pixels of the network's input")
    share: Share = Field(default=1.0, description="fraction of each batch to change")

    def check(self, spec: Spec) -> None:
        """Raises ValueError if the samples are not images or not larger than the square."""
        check_pictures("cutout", spec)
        side = min(spec.input_shape[-2:])
        if self.pixels >= side:
            raise ValueError(f"cutout.pixels (={self.pixels}) must be less than the image size ({side}).")

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
        "Replaces a random rectangle of some training images with noise.",
        source="Zhong et al. 2020, Random Erasing Data Augmentation",
        helps="For objects that are often partly occluded, such as people in a crowd.",
        costs="A rectangle as large as the object removes all information.",
        interacts=(
            "Uniform noise is in 0 … 1, the range of images before standardise; after it, use fill: normal. Targets "
            "do not change, including covered keypoints and masks."
        ),
    ),
)
class RandomErasing(Trick):
    """The rectangle has between ``smallest`` and ``largest`` of the area and an aspect ratio between 1/``ratio`` and
    ``ratio``, and lies inside the image.

    Its sides are whole pixels, between 1 and the image size. If an area and an aspect ratio do not fit, the rectangle
    is cut to the image; the paper draws again instead.
    """

    stacked = True
    shorthand = "share"
    order = 28
    examples = ({}, {"share": 1, "largest": {"linear": [0.2, 0.6]}, "fill": "normal"})

    share: Share = Field(default=0.5, description="fraction of each batch to change")
    smallest: Annotated[float, Range(gt=0, le=1)] = Field(default=0.02, description="smallest fraction of the area")
    largest: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.4, description="largest fraction of the area; at least 'smallest'"
    )
    ratio: Annotated[float, Range(ge=1)] = Field(default=3.3, description="maximum aspect ratio")
    fill: Literal["uniform", "normal", "zero", "mean"] = Field(
        default="uniform",
        description="values of the erased pixels: random per pixel (uniform or normal), 0, or the image's mean",
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
    """The pixels in rows ``top`` … ``bottom`` − 1 and columns ``left`` … ``right`` − 1, each (..., N), as bool (..., N,
    1, H, W).
    """
    height, width = size
    rows, columns = torch.arange(height, device=top.device), torch.arange(width, device=top.device)
    in_rows = (rows >= top[..., None]) & (rows < bottom[..., None])
    in_columns = (columns >= left[..., None]) & (columns < right[..., None])
    return (in_rows[..., :, None] & in_columns[..., None, :]).unsqueeze(-3)
