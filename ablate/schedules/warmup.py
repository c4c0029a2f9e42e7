"""Linear warmup before any other schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator

from ablate.registry import Card, register
from ablate.registry.fields import Range, Span
from ablate.schedules.schedule import Schedule, Scheduled, Time


@register(
    "schedule",
    "warmup",
    card=Card(
        "Increases linearly from almost zero before another schedule begins.",
        source="Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.2",
        helps="For large learning rates and large batches, which otherwise diverge in the first epochs.",
        costs="Some epochs with small learning rates, which learn little.",
        interacts="The following schedule covers the remaining epochs. radam and one_cycle include their own warmup.",
    ),
)
class Warmup(Schedule):
    """``{warmup: 5, then: {cosine: [0.1, 0]}}``: 5 epochs from ``start`` times the first value to the first value, then
    ``then`` over the remaining epochs.
    """

    warmup: Span = Field(description="number of epochs or steps of the increase")
    then: Scheduled[float] = Field(description="what follows: a number or a schedule")
    start: Annotated[float, Range(ge=0, le=1)] = Field(
        default=0.01, description="fraction of the first value to start at"
    )

    def at(self, time: Time) -> float:
        length = min(round(time.units(self.warmup)), time.n)
        rest = Time(max(time.i - length, 0), max(time.n - length, 1), time.per_epoch)
        value = self.then.at(rest) if isinstance(self.then, Schedule) else float(self.then)
        if time.i >= length:
            return value
        return value * (self.start + (1 - self.start) * time.i / length)

    def extremes(self) -> Iterable[float]:
        values = list(self.then.extremes()) if isinstance(self.then, Schedule) else [float(self.then)]
        return [*values, *(value * self.start if self.start else 0.0 for value in values)]

    def times(self, factor: float) -> Self:
        then = self.then.times(factor) if isinstance(self.then, Schedule) else self.then * factor
        return self.model_copy(update={"then": then})

    def advice(self) -> str | None:
        return self.then.advice() if isinstance(self.then, Schedule) else None

    @model_validator(mode="after")
    def one_unit(self) -> Warmup:
        if not isinstance(self.then, Schedule) or self.then.per == self.per:
            return self
        if "per" in self.model_fields_set:
            raise ValueError(f"has per: {self.per}, but 'then' has per: {self.then.per}. Set the same 'per' in both.")
        return self.model_copy(update={"per": self.then.per}).with_its_steps()
