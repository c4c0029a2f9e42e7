"""Drawn scenes with masks: segmentation without a download."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch


@register(
    "data",
    "shapes",
    card=Card(
        "Drawn scenes of overlapping figures, with a mask of classes.",
        source="drawn with NumPy, by seed",
        helps="Segmentation in two or three dimensions without a download: what dropout, context and losses of overlap are worth.",
        costs="Drawn anew in every job: some tenths of a second for 500 pictures of 32×32, more for volumes.",
        interacts="Masks move along with augmentation. Figures of the same tone overlap, so no network reaches a Dice of 1.",
    ),
)
class Shapes(Data):
    """Inputs uint8 (n, 1, S, S) or (n, 1, S, S, S); targets int64 (n, S, S) or (n, S, S, S): 0 the background, then disc, box, cross, ring and triangle.

    Their forms alone tell figures apart: tone, place and angle are drawn for each. Later classes are smaller and rarer.
    """

    group_names = ()

    dimensions: Literal[2, 3] = Field(default=2, description="pictures or volumes")
    size: int = Field(default=32, ge=8, le=256, description="side, in pixels")
    count: int = Field(default=500, ge=2, description="scenes; more of them keep those of fewer")
    classes: int = Field(default=4, ge=2, le=6, description="classes, the background among them")
    figures: int = Field(default=5, ge=1, le=20, description="most figures in a scene, at least one")
    noise: Annotated[float, Range(ge=0, le=1)] = Field(
        default=0.1, description="deviation of each pixel's noise, where 1 is from black to white"
    )
    seed: int = Field(default=42, ge=0, description="decides what is drawn, for all runs alike")

    def load(self) -> Parts:
        from ablate.data.drawn_shapes import paint, scenes

        drawn = scenes(self.count, self.dimensions, self.size, self.classes, self.figures, self.seed)
        pictures, masks = paint(drawn, self.noise)
        samples = Part(
            torch.from_numpy(pictures).unsqueeze(1), torch.from_numpy(masks).long(), rows=torch.arange(self.count)
        )
        return self.parts(samples, self.spec(), source="drawn")

    def spec(self) -> Spec:
        from ablate.data.drawn_shapes import NAMES

        sides = (self.size,) * self.dimensions
        names = NAMES[self.dimensions][: self.classes]
        return Spec((1, *sides), self.classes, "classification", names, places=sides)
