"""One-cycle schedule: learning rates increase, then decrease; momentum does the opposite."""

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
        description="values at the first unit, at the peak, and at the last unit"
    )
    rise: Epochs = Field(default=Epochs(share=0.3), description="epochs, or fraction of all epochs, until the peak")
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
