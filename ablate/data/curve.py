"""A noisy curve with few training points, to show overfitting in one dimension."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")


@register(
    "data",
    "curve",
    card=Card(
        "Few noisy samples of a sine; the validation targets have no noise.",
        source="generated with NumPy; Bishop 2006, Pattern Recognition and Machine Learning, section 1.1",
        helps="To see a large network fit noise, and what dropout, weight decay or early stopping change, in seconds.",
        interacts=(
            "A training loss below the variance of the noise means overfitting. The validation loss contains no noise."
        ),
    ),
    version=2,
)
class Curve(Data):
    """Inputs x float32 (n, 1), uniform in −1 … 1; targets float32 (n, 1): sin(π·waves·x), plus Gaussian noise in the
    training set.

    By default, 20 samples are for training and 80 for validation: an mlp with hidden: [200, 200] memorizes the noise.
    """

    group_names = ()

    valid: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.8, description="fraction of the samples for validation"
    )
    points: int = Field(
        default=100, ge=4, description="number of samples in all splits; larger data sets contain smaller ones"
    )
    waves: Annotated[float, Range(gt=0)] = Field(
        default=0.5, description="number of waves between -1 and 1; 0.5: from minimum to maximum"
    )
    noise: Annotated[float, Range(ge=0)] = Field(
        default=0.3, description="standard deviation of the noise; that of the curve is 0.7"
    )
    noisy_valid: bool = Field(default=False, description="add noise to the validation and test targets too")
    seed: int = Field(default=42, ge=0, description="seed of the samples and the noise, the same in all runs")

    def load(self) -> Parts:
        # one stream for each, so that larger data sets contain smaller ones
        x = np.random.default_rng((self.seed, 0)).uniform(-1, 1, self.points)
        noise = self.noise * np.random.default_rng((self.seed, 1)).standard_normal(self.points)
        curve = np.sin(np.pi * self.waves * x)
        inputs, clean, noisy = (
            torch.from_numpy(values.astype(np.float32))[:, None] for values in (x, curve, curve + noise)
        )
        parts = self.parts(Part(inputs, noisy, rows=torch.arange(self.points)), self.spec(), source="generated")
        if self.noisy_valid:
            return parts

        def cleaned(part: Part) -> Part:
            return replace(part, targets=clean[part.rows])

        test = None if parts.test is None else cleaned(parts.test)
        return replace(parts, valid=cleaned(parts.valid), test=test)

    def spec(self) -> Spec:
        return Spec((1,), 1, "regression", target_names=("y",))
