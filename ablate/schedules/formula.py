"""A rule of one's own, written as arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Self

from pydantic import Field, ValidationInfo, field_validator

from ablate.registry import Card, register
from ablate.schedules.arithmetic import read
from ablate.schedules.schedule import Per, Schedule, Time

VARIABLES = ("step", "epoch", "progress", "epochs")


@register(
    "schedule",
    "formula",
    card=Card(
        "Any arithmetic of step, epoch and progress that you write down.",
        source="torch.optim.lr_scheduler.LambdaLR",
        helps="Shapes that have no name; another rule for each parameter group.",
        costs="Nothing checks that it is sensible, only that it can be computed and stays in the field's range.",
        interacts="Counts in epochs do not follow --scale; write progress or epochs where they should.",
    ),
)
class Formula(Schedule):
    """``{formula: "0.1 * 0.95 ** epoch"}``: the value itself, from ``step`` and ``epoch`` (both from 0), ``progress`` (0 to 1) and ``epochs`` (in all).

    Numbers, + − * / // % **, min, max, sqrt, exp, log, cos and pi. ``per: epoch`` holds the value over each epoch, and knows no step. It must be computable,
    and in the range of what it sets, in trainings of 2 to 10,000 epochs: bound it with ``max(…, 0)`` where it would fall below.
    """

    shorthand = "formula"
    formula: str = Field(description="arithmetic, such as 0.1 * 0.95 ** epoch")

    def at(self, time: Time) -> float:
        """Raises ValueError in one line where the formula has no finite value."""
        try:
            return _finite(self.formula, time)
        except ValueError as error:
            raise ValueError(f"formula (={self.formula}) {error}") from None

    def extremes(self) -> Iterable[float]:
        """The least and the greatest value over trainings of 2 to 10,000 epochs with 1 or 100 steps each, at moments spread evenly over them."""
        return _extremes(self.formula, self.per)

    def times(self, factor: float) -> Self:
        return type(self)(formula=f"{factor!r} * ({self.formula})", per=self.per)

    def advice(self) -> str | None:
        if read(self.formula, VARIABLES).names:
            return None
        return f"formula (={self.formula}) has none of {', '.join(VARIABLES)}: it never changes."

    @field_validator("formula")
    @classmethod
    def computable(cls, formula: str, info: ValidationInfo) -> str:
        names = read(formula, VARIABLES).names
        per = info.data.get("per", "step")
        if per == "epoch" and "step" in names:
            raise ValueError("has step, which 'per: epoch' does not count. Use epoch, or drop 'per'.")
        _extremes(formula, per)
        return formula


def _value(formula: str, time: Time) -> float:
    epoch = time.i // time.per_epoch
    values = {"step": time.i, "epoch": epoch, "progress": time.progress, "epochs": time.epochs}
    try:
        return read(formula, VARIABLES)({name: float(value) for name, value in values.items()})
    except ValueError as error:
        raise ValueError(f"cannot be computed {_moment(time)} ({error}).") from None


def _finite(formula: str, time: Time) -> float:
    value = _value(formula, time)
    if math.isinf(value):
        raise ValueError(f"is infinite {_moment(time)}.")
    return value


def _moment(time: Time) -> str:
    return f"at step {time.i % time.per_epoch} of epoch {time.i // time.per_epoch}, of {time.epochs} epochs"


@lru_cache(maxsize=256)
def _extremes(formula: str, per: Per) -> tuple[float, float]:
    # what grows beyond all bounds may do so in long trainings, of which nobody knows yet
    values = [(_finite if time.epochs <= 10 else _value)(formula, time) for time in _moments(per)]
    return min(values), max(values)


def _moments(per: Per, most: int = 200) -> Iterator[Time]:
    for epochs in (2, 3, 10, 30, 100, 1000, 10_000):
        for per_epoch in (1, 100) if per == "step" else (1,):
            n = epochs * per_epoch
            for i in range(n) if n <= most else sorted({round(k * (n - 1) / most) for k in range(most + 1)}):
                yield Time(i, n, per_epoch)
