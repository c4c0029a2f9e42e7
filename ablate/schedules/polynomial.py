"""A power of what is left of the training."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.schedules.ramps import Ramp
from ablate.schedules.schedule import Time


@register(
    "schedule",
    "polynomial",
    card=Card(
        "Falls with a power of the training that is left.",
        source="torch.optim.lr_scheduler.PolynomialLR; Chen et al. 2016, DeepLab, section 4.1 (power 0.9)",
        helps="Segmentation, where power 0.9 is usual; power 2 spends longer at small values than a line.",
        costs="One more number than cosine to choose.",
        interacts="Power 1 is 'linear'.",
    ),
)
class Polynomial(Ramp):
    """``{polynomial: [a, b], power: 2}``: b + (a − b)·(1 − i/(n − 1))^power."""

    power: Annotated[float, Range(gt=0)] = Field(default=2.0, description="1 is a straight line; above 1 falls early")

    def at(self, time: Time) -> float:
        a, b = self.ends
        return b + (a - b) * math.pow(1 - time.progress, self.power)
