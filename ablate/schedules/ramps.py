"""Ways from one value to another over the whole training: constant, linear, cosine."""

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
        "The same value at all times.",
        source="torch.optim.lr_scheduler.ConstantLR with factor 1",
        helps="As a row that a decay is compared with, and as the part behind a warmup.",
        costs="A rate that does not fall leaves the weights jittering at the end.",
        interacts="The same as the plain number, which is shorter.",
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
    ends: tuple[float, float] = Field(description="value at the first and at the last unit")

    def extremes(self) -> Iterable[float]:
        return self.ends

    def times(self, factor: float) -> Self:
        return self.model_copy(update={"ends": (self.ends[0] * factor, self.ends[1] * factor)})


@register(
    "schedule",
    "linear",
    card=Card(
        "A straight line from the first value to the last.",
        source="torch.optim.lr_scheduler.LinearLR",
        helps="Any number that shall move over the whole training: rates down, momentum up, dropout up.",
        costs="Two values instead of one to choose.",
        interacts="It is stretched over all epochs, so --scale and early stopping change which values are reached.",
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
        "Half a cosine from the first value down to the last.",
        source="Loshchilov and Hutter 2016, SGDR, equation 5; torch.optim.lr_scheduler.CosineAnnealingLR",
        helps="A default for a fixed number of epochs: little to tune.",
        costs="Half the training passes at more than the mean rate: nothing says before the end how good it will be.",
        interacts="It is stretched over all epochs: early stopping cuts off the small rates at its end, where most is gained.",
    ),
)
class Cosine(Ramp):
    """``{cosine: [a, b]}``: b + (a − b) · (1 + cos(π i/(n − 1)))/2."""

    def at(self, time: Time) -> float:
        a, b = self.ends
        return b + (a - b) * (1 + math.cos(math.pi * time.progress)) / 2
