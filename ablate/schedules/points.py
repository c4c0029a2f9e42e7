"""Piecewise linear or piecewise constant schedules from a list of points."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Self

from pydantic import Field, field_validator

from ablate.registry import Card, register
from ablate.registry.fields import Span
from ablate.schedules.schedule import Schedule, Time


@register(
    "schedule",
    "points",
    card=Card(
        "Interpolates linearly between the points that you list.",
        source="the classic learning rate table",
        helps="For any custom shape.",
        costs="As many values to choose as points.",
        interacts=(
            "Points in percent scale with the number of epochs, others only with --scale. The value is constant "
            "after the last point."
        ),
    ),
)
class Points(Schedule):
    """``{points: [[0, a], [50%, b], [100%, c]]}``: each point is [epoch or fraction, value]; the value is constant
    before the first and after the last point.

    100% is the last unit. With ``stairs: true``, each value is constant until the next point.
    """

    shorthand = "points"
    points: tuple[tuple[Span, float], ...] = Field(
        min_length=1, description="[epoch, step or fraction of all epochs, value], in order"
    )
    stairs: bool = Field(default=False, description="keep each value until the next point")

    def at(self, time: Time) -> float:
        ends = [
            min(time.units(when), time.n - 1) if when.share is None else when.share * (time.n - 1)
            for when, _ in self.points
        ]
        values = [value for _, value in self.points]
        right = bisect_right(ends, time.i + 1e-9)
        if right == 0:
            return values[0]
        if right == len(ends) or self.stairs:
            return values[right - 1]
        left = right - 1
        share = (time.i - ends[left]) / (ends[right] - ends[left])
        return values[left] + (values[right] - values[left]) * share

    def extremes(self) -> Iterable[float]:
        return (value for _, value in self.points)

    def times(self, factor: float) -> Self:
        return self.model_copy(update={"points": tuple((when, value * factor) for when, value in self.points)})

    @field_validator("points")
    @classmethod
    def rising(cls, points: tuple[tuple[Span, float], ...]) -> tuple[tuple[Span, float], ...]:
        counts = [when.count for when, _ in points if when.count is not None]
        shares = [when.share for when, _ in points if when.share is not None]
        steps = [when.steps for when, _ in points if when.steps is not None]
        if any(times != sorted(times) for times in (counts, shares, steps)):
            raise ValueError("must be in ascending order of time.")
        return points
