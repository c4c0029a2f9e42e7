"""Constant, linear and cosine schedules over the whole training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

from pydantic import Field

from ablate.registry import Card, register
from ablate.schedules.schedule import Schedule, Time


@register(
    "schedule",
    "constant",
    card=Card(
        "Keeps the same value throughout training.",
        source="torch.optim.lr_scheduler.ConstantLR with factor 1",
        helps="As a baseline for decay schedules, and after warmup.",
        costs="Weights keep fluctuating at the end if the learning rate does not decrease.",
        interacts="Equivalent to a plain number, which is shorter.",
    ),
)
class Constant(Schedule):
    """``{constant: a}``."""

    shorthand = "value"
    value: float

    def at(self, time: Time) -> float:
        return self.value

    def extremes(self) -> Iterable[float]:
        return (self.value,)

    def times(self, factor: float) -> Self:
        return self.model_copy(update={"value": self.value * factor})


class Ramp(Schedule):
    """From ``ends[0]`` at the first unit to ``ends[1]`` at the last."""

    shorthand = "ends"
    ends: tuple[float, float] = Field(description="values at the first and at the last unit")

    def extremes(self) -> Iterable[float]:
        return self.ends

    def times(self, factor: float) -> Self:
        return self.model_copy(update={"ends": (self.ends[0] * factor, self.ends[1] * factor)})


@register(
    "schedule",
    "linear",
    card=Card(
        "Changes linearly from the first value to the last.",
        source="torch.optim.lr_scheduler.LinearLR",
        helps="For any value that changes over training: decreasing learning rate, increasing momentum or dropout.",
        costs="Two values to choose instead of one.",
        interacts="Covers all epochs, so --scale and early_stop change which values are reached.",
    ),
)
class Linear(Ramp):
    """``{linear: [a, b]}``: a + (b − a) · i/(n − 1)."""

    def at(self, time: Time) -> float:
        a, b = self.ends
        return a + (b - a) * time.progress


@register(
    "schedule",
    "cosine",
    card=Card(
        "Decreases along half a cosine from the first value to the last.",
        source="Loshchilov and Hutter 2016, SGDR, equation 5; torch.optim.lr_scheduler.CosineAnnealingLR",
        helps="As a default for a fixed number of epochs: little to tune.",
        costs="Above the mean learning rate for half of the training, so early results do not predict the final one.",
        interacts="Covers all epochs: early_stop cuts off the small learning rates at the end, which improve most.",
    ),
)
class Cosine(Ramp):
    """``{cosine: [a, b]}``: b + (a − b) · (1 + cos(π i/(n − 1)))/2."""

    def at(self, time: Time) -> float:
        a, b = self.ends
        return b + (a - b) * (1 + math.cos(math.pi * time.progress)) / 2
