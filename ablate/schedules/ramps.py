"""Schedules along one curve over the whole training: constant, linear, cosine, polynomial, restarts, one-cycle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range, SomeTime, Span
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
    ends: tuple[float, float] = Field(description="a start and an end value, such as [0.1, 0.001]")

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


@register(
    "schedule",
    "cosine_restarts",
    card=Card(
        "Decreases along a cosine and restarts at the top, repeatedly.",
        source="Loshchilov and Hutter 2016, SGDR; torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        helps="For snapshots and ensembles: the weights are good at the end of every period.",
        costs="The loss increases at every restart; training should end at the end of a period.",
        interacts="early_stop needs a patience longer than a period, or it stops at a restart.",
    ),
)
class CosineRestarts(Ramp):
    """``{cosine_restarts: [a, b], period: 10, factor: 2}``: b + (a − b)·(1 + cos(π t/T))/2, where t counts from the
    last restart.

    The first period T is ``period``; each later one is ``factor`` times as long as the one before. b itself is not
    reached: the next period starts at that unit.
    """

    period: SomeTime = Field(description="epochs, steps or fraction of all epochs, until the first restart")
    factor: Annotated[float, Range(ge=1)] = Field(
        default=1.0, description="length of each period relative to the one before"
    )

    def at(self, time: Time) -> float:
        a, b = self.ends
        length = max(time.units(self.period), 1.0)
        since = float(time.i)
        if self.factor == 1:
            since = math.fmod(since, length)
        while since >= length:
            since -= length
            length *= self.factor
        return b + (a - b) * (1 + math.cos(math.pi * since / length)) / 2


@register(
    "schedule",
    "one_cycle",
    card=Card(
        "Rises from a low value to the peak, then falls to almost zero.",
        source="Smith and Topin 2017, Super-Convergence; torch.optim.lr_scheduler.OneCycleLR",
        helps="For few epochs: the peak may be several times the best constant learning rate.",
        costs="The peak must be tuned, and results before the last epochs do not predict the final result.",
        interacts=(
            "Use the opposite schedule for momentum: {one_cycle: [0.95, 0.85, 0.95]}. early_stop cuts off the last "
            "epochs, which improve most."
        ),
    ),
)
class OneCycle(Schedule):
    """``{one_cycle: [start, peak, end], rise: 30%}``: from start to peak during ``rise``, then to end at the last unit,
    each along a cosine or a line.

    torch's OneCycleLR(max_lr=m) is ``[m/25, m, m/250000]``, with momentum ``[0.95, 0.85, 0.95]``.
    """

    shorthand = "values"
    values: tuple[float, float, float] = Field(
        description="a start, a peak and an end value, such as [0.004, 0.1, 1e-6]"
    )
    rise: Span = Field(default=Span(share=0.3), description="epochs, steps or fraction of all epochs, until the peak")
    shape: Literal["cos", "linear"] = Field(default="cos", description="cosine, or linear")

    def at(self, time: Time) -> float:
        start, peak, end = self.values
        top, last = max(min(time.units(self.rise), time.n) - 1, 0), time.n - 1
        if time.i <= top:
            return self._between(start, peak, time.i / top if top > 0 else 1.0)
        return self._between(peak, end, (time.i - top) / (last - top))

    def _between(self, a: float, b: float, share: float) -> float:
        if self.shape == "linear":
            return a + (b - a) * share
        return b + (a - b) * (1 + math.cos(math.pi * share)) / 2

    def extremes(self) -> Iterable[float]:
        return self.values

    def times(self, factor: float) -> Self:
        return self.model_copy(update={"values": tuple(value * factor for value in self.values)})
