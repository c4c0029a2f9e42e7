"""Cosine decay with warm restarts."""

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

    period: SomeEpochs = Field(description="epochs, or fraction of all epochs, until the first restart")
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
