"""Up and down again in one cycle: rates rise and fall, momentum falls and rises."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Epochs
from ablate.schedules.schedule import Schedule, Time


@register(
    "schedule",
    "one_cycle",
    card=Card(
        "From a low value to the peak and down to almost nothing.",
        source="Smith and Topin 2017, Super-Convergence; torch.optim.lr_scheduler.OneCycleLR",
        helps="Few epochs: the peak may be several times the best constant rate.",
        costs="The peak has to be found, and nothing before the end says how good the row will be.",
        interacts="Goes with a momentum that does the opposite: {one_cycle: [0.95, 0.85, 0.95]}. Early stopping cuts off the part that pays.",
    ),
)
class OneCycle(Schedule):
    """``{one_cycle: [start, peak, end], rise: 30%}``: from start to peak while ``rise`` lasts, then to end at the last unit, each in half a cosine or a line.

    torch's OneCycleLR(max_lr=m) is ``[m/25, m, m/250000]`` and its momentum ``[0.95, 0.85, 0.95]``.
    """

    shorthand = "values"
    values: tuple[float, float, float] = Field(description="value at the first unit, at the peak, and at the last unit")
    rise: Epochs = Field(default=Epochs(share=0.3), description="epochs, or the share of all, until the peak")
    shape: Literal["cos", "linear"] = Field(default="cos", description="half a cosine, or a straight line")

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
