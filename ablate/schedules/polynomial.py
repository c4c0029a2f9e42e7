"""Polynomial decay."""

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
        "Decreases with a power of the remaining training time.",
        source="torch.optim.lr_scheduler.PolynomialLR; Chen et al. 2016, DeepLab, section 4.1 (power 0.9)",
        helps="For segmentation, usually with power 0.9. Power 2 spends more time at small values than linear.",
        costs="One more value to choose than for cosine.",
        interacts="Power 1 equals 'linear'.",
    ),
)
class Polynomial(Ramp):
    """``{polynomial: [a, b], power: 2}``: b + (a − b)·(1 − i/(n − 1))^power."""

    power: Annotated[float, Range(gt=0)] = Field(
        default=2.0, description="1: linear; above 1: decreases faster at first"
    )

    def at(self, time: Time) -> float:
        a, b = self.ends
        return b + (a - b) * math.pow(1 - time.progress, self.power)
