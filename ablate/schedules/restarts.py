"""Half cosines one after another."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range, SomeEpochs
from ablate.schedules.ramps import Ramp
from ablate.schedules.schedule import Time


@register(
    "schedule",
    "cosine_restarts",
    card=Card(
        "Half a cosine down, then back to the top, again and again.",
        source="Loshchilov and Hutter 2016, SGDR; torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        helps="Good weights are there at the end of every period, not of the training only: for snapshots and ensembles.",
        costs="The loss jumps at every restart; a training that does not end with a period ends badly.",
        interacts="Early stopping takes a restart for the end unless its patience outlasts a period.",
    ),
)
class CosineRestarts(Ramp):
    """``{cosine_restarts: [a, b], period: 10, factor: 2}``: b + (a − b)·(1 + cos(π t/T))/2, where t counts from the last restart.

    The first period T is ``period`` long, each later one ``factor`` times the one before. b is not reached: the unit at which it would be begins anew.
    """

    period: SomeEpochs = Field(description="epochs, or the share of all, until the first restart")
    factor: Annotated[float, Range(ge=1)] = Field(default=1.0, description="each period is so many times the last one")

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
