"""Synthetic scenes with masks: segmentation without a download."""

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
        "Synthetic scenes of overlapping shapes, with class masks.",
        source="generated with NumPy, by seed",
        helps=(
            "For segmentation in two or three dimensions without a download; to measure the effect of dropout, "
            "context and overlap losses."
        ),
        costs="Generated in every job: a few tenths of a second for 500 images of 32×32, more for volumes.",
        interacts="Augmentation transforms masks too. Shapes of equal tone overlap, so no network reaches a Dice of 1.",
    ),
)
class Shapes(Data):
    """Inputs uint8 (n, 1, S, S) or (n, 1, S, S, S); targets int64 (n, S, S) or (n, S, S, S): 0 background, then disc,
    box, cross, ring and triangle.

    Classes differ only in shape: tone, position and angle are random. Later classes are smaller and rarer.
    """

    group_names = ()

    dimensions: Literal[2, 3] = Field(default=2, description="2: images; 3: volumes")
    size: int = Field(default=32, ge=8, le=256, description="side, in pixels")
    count: int = Field(
        default=500, ge=2, description="number of scenes; a larger number keeps these scenes and adds others"
    )
    classes: int = Field(default=4, ge=2, le=6, description="number of classes, including the background")
    figures: int = Field(default=5, ge=1, le=20, description="maximum number of shapes per scene; the minimum is one")
    noise: Annotated[float, Range(ge=0, le=1)] = Field(
        default=0.1, description="standard deviation of the pixel noise; 1 is white − black"
    )
    seed: int = Field(default=42, ge=0, description="seed of the scenes, the same in all runs")

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
