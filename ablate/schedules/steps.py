"""Schedules with a decay factor: exponential, step, multistep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, field_validator

from ablate.registry import Card, register
from ablate.registry.fields import Range, SomeTime, Span
from ablate.schedules.schedule import Per, Schedule, Time, schedule_name

Factor = Annotated[float, Range(gt=0)]

NOTHING = 1e-6
"""A value below this fraction of its start counts as zero; above its inverse as exploded."""

SOON: dict[str, int] = {"epoch": 20, "step": 1000}
"""If this few drops are enough, gamma is probably a mistake."""


class Decay(Schedule):
    """Starts at ``start``; every drop multiplies by ``gamma``."""

    per: Per = "epoch"
    start: float = Field(description="initial value")
    gamma: Factor = Field(description="factor per drop")

    def extremes(self) -> Iterable[float]:
        if self.gamma == 1 or self.start == 0:
            return (self.start,)
        return (self.start, 0.0 if self.gamma < 1 else math.copysign(math.inf, self.start))

    def times(self, factor: float) -> Self:
        return self.model_copy(update={"start": self.start * factor})

    @property
    def drops_to_nothing(self) -> int:
        """Number of drops after which the value is at most a millionth (or at least a million times) of its start."""
        return math.ceil(math.log(NOTHING) / -abs(math.log(self.gamma)) - 1e-9) if self.gamma != 1 else 0

    def _warning(self, when: str) -> str:
        what = "reduces the value to a millionth or less" if self.gamma < 1 else "increases the value a million-fold"
        return f"{schedule_name(type(self))}: gamma (={self.gamma:g}) {what} after {when}."

    def _never(self) -> str:
        return f"{schedule_name(type(self))}: gamma (=1) never changes the value."


@register(
    "schedule",
    "exponential",
    card=Card(
        "Multiplies by gamma after every epoch.",
        source="torch.optim.lr_scheduler.ExponentialLR",
        helps="For a steady decay when the number of epochs is not known in advance.",
        costs="gamma is easy to get wrong: 0.01 makes the learning rate zero almost immediately.",
        interacts="Does not scale with the number of epochs: with --scale, training ends at a larger value.",
    ),
)
class Exponential(Decay):
    """``{exponential: {start: a, gamma: g}}``: a · g^epoch (``per: step``: a · g^step)."""

    def at(self, time: Time) -> float:
        return self.start * self.gamma**time.i

    def advice(self) -> str | None:
        if self.gamma == 1:
            return self._never()
        drops = self.drops_to_nothing
        return self._warning(f"{drops} {self.per}s") if drops <= SOON[self.per] else None


@register(
    "schedule",
    "step",
    card=Card(
        "Multiplies by gamma every few epochs.",
        source="torch.optim.lr_scheduler.StepLR",
        helps="The classic schedule of image networks: divide by 10 after each third of the training.",
        costs="Size and gamma must be chosen; a drop is too early or too late for some variants.",
        interacts="A size of 30% scales with the number of epochs, one of 30 epochs only with --scale.",
    ),
)
class Step(Decay):
    """``{step: {start: a, size: 30, gamma: 0.1}}``: a · g^⌊epoch/size⌋."""

    size: SomeTime = Field(description="epochs or steps between two drops")

    def at(self, time: Time) -> float:
        return self.start * self.gamma ** int(time.i // max(time.units(self.size), 1))

    def advice(self) -> str | None:
        if self.gamma == 1:
            return self._never()
        if self.size.steps is not None:
            steps = self.drops_to_nothing * self.size.steps
            return self._warning(f"{steps} steps") if steps <= SOON["step"] else None
        if self.size.count is None:
            share = self.drops_to_nothing * (self.size.share or 0.0)
            return self._warning(f"{share:.0%} of the training") if share <= 0.2 else None
        epochs = self.drops_to_nothing * self.size.count
        return self._warning(f"{epochs} epochs") if epochs <= SOON["epoch"] else None


@register(
    "schedule",
    "multistep",
    card=Card(
        "Multiplies by gamma at each milestone.",
        source="torch.optim.lr_scheduler.MultiStepLR; He et al. 2015, Deep Residual Learning, section 3.4",
        helps="To reproduce a paper that lists the epochs of its drops.",
        costs="Each milestone must be chosen.",
        interacts="Milestones in percent scale with the number of epochs, others only with --scale.",
    ),
)
class MultiStep(Decay):
    """``{multistep: {start: a, milestones: [30, 80%], gamma: 0.1}}``: a · g^(milestones passed)."""

    milestones: tuple[Span, ...] = Field(min_length=1, description="epochs or steps at which the value drops")

    def at(self, time: Time) -> float:
        return self.start * self.gamma ** sum(time.i >= time.units(m) for m in self.milestones)

    def advice(self) -> str | None:
        if self.gamma == 1:
            return self._never()
        drops, known = self.drops_to_nothing, len(self.milestones)
        return self._warning(f"{drops} of its {known} milestones") if drops <= known else None

    @field_validator("milestones")
    @classmethod
    def rising(cls, milestones: tuple[Span, ...]) -> tuple[Span, ...]:
        counts = [m.count for m in milestones if m.count is not None]
        steps = [m.steps for m in milestones if m.steps is not None]
        if counts != sorted(counts) or steps != sorted(steps):
            raise ValueError("must be in strictly ascending order.")
        return milestones
