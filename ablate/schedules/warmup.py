"""A linear rise from nearly zero before any other schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator

from ablate.registry import Card, register
from ablate.registry.fields import Epochs, Range
from ablate.schedules.schedule import Schedule, Scheduled, Time


@register(
    "schedule",
    "warmup",
    card=Card(
        "Rises linearly from nearly zero before another schedule begins.",
        source="Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.2",
        helps="Large rates and large batches survive the first epochs.",
        costs="Some epochs at rates that learn little.",
        interacts="What follows is squeezed into the epochs that are left; radam and one_cycle warm up by themselves.",
    ),
)
class Warmup(Schedule):
    """``{warmup: 5, then: {cosine: [0.1, 0]}}``: 5 epochs from ``start`` times the first value up to it; ``then`` runs over what is left."""

    warmup: Epochs = Field(description="epochs of the rise")
    then: Scheduled[float] = Field(description="what follows: a number or a schedule")
    start: Annotated[float, Range(ge=0, le=1)] = Field(default=0.01, description="share of the first value to begin at")

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
            raise ValueError(f"then counts {self.then.per}s and the warmup {self.per}s: write the same 'per' in both.")
        return self.model_copy(update={"per": self.then.per})
