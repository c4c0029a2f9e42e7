"""A noisy curve with few training points: what overfitting looks like, in one dimension."""

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
        "Few noisy points of a sine; validation asks for the curve itself.",
        source="generated with NumPy; Bishop 2006, Pattern Recognition and Machine Learning, section 1.1",
        helps="Seeing a large net learn noise, and what dropout, weight decay or early stopping do about it, in seconds.",
        interacts="The train loss can go below the noise's variance, which is where overfitting begins; the valid loss has no noise in it.",
    ),
    version=2,
)
class Curve(Data):
    """Inputs x float32 (n, 1), drawn evenly from −1 … 1; targets float32 (n, 1): sin(π·waves·x) plus normal noise in the training part.

    By default 20 points train and 80 validate: an mlp of 200 and 200 units learns the noise by heart.
    """

    group_names = ()

    valid: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.8, description="share of the points kept for validation"
    )
    points: int = Field(default=100, ge=4, description="points in all parts together; more of them keep those of fewer")
    waves: Annotated[float, Range(gt=0)] = Field(
        default=0.5, description="waves between -1 and 1; 0.5: from the trough to the crest"
    )
    noise: Annotated[float, Range(ge=0)] = Field(default=0.3, description="deviation of the noise; the curve's is 0.7")
    noisy_valid: bool = Field(default=False, description="whether targets of the valid and test parts have noise too")
    seed: int = Field(default=42, ge=0, description="decides points and noise, for all runs alike")

    def load(self) -> Parts:
        # a stream for each, so that more points keep those of fewer
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
