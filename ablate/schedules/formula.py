"""A custom schedule, written as a formula."""

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
        "Computes any arithmetic formula of step, epoch and progress.",
        source="torch.optim.lr_scheduler.LambdaLR",
        helps="For custom shapes, and different schedules per parameter group.",
        costs="The check only ensures that values can be computed and are in the setting's range.",
        interacts="Epochs in a formula do not scale with --scale; use progress or epochs instead.",
    ),
)
class Formula(Schedule):
    """``{formula: "0.1 * 0.95 ** epoch"}``: the value, from ``step`` and ``epoch`` (both from 0), ``progress`` (0 to 1)
    and ``epochs`` (the total number).

    Numbers, + − * / // % **, min, max, sqrt, exp, log, cos and pi are allowed. With ``per: epoch``, the value is
    constant within an epoch, and ``step`` is not available. For 2 to 10,000 epochs, the value must be defined and in
    the range of the setting: bound it with ``max(…, 0)`` if necessary.
    """

    shorthand = "formula"
    formula: str = Field(description="arithmetic formula, such as 0.1 * 0.95 ** epoch")

    def at(self, time: Time) -> float:
        """Raises ValueError (one line) if the formula has no finite value."""
        try:
            return _finite(self.formula, time)
        except ValueError as error:
            raise ValueError(f"formula (={self.formula}) {error}") from None

    def extremes(self) -> Iterable[float]:
        """The minimum and maximum value over trainings of 2 to 10,000 epochs with 1 or 100 steps each, at evenly spaced
        times.
        """
        return _extremes(self.formula, self.per)

    def times(self, factor: float) -> Self:
        return type(self)(formula=f"{factor!r} * ({self.formula})", per=self.per)

    def advice(self) -> str | None:
        if read(self.formula, VARIABLES).names:
            return None
        return f"formula (={self.formula}) is constant: it contains none of {', '.join(VARIABLES)}."

    @field_validator("formula")
    @classmethod
    def computable(cls, formula: str, info: ValidationInfo) -> str:
        names = read(formula, VARIABLES).names
        per = info.data.get("per", "step")
        if per == "epoch" and "step" in names:
            raise ValueError("contains step, which is not available with 'per: epoch'. Use epoch, or remove 'per'.")
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
    # unbounded growth is allowed for long trainings, whose length is not known here
    values = [(_finite if time.epochs <= 10 else _value)(formula, time) for time in _moments(per)]
    return min(values), max(values)


def _moments(per: Per, most: int = 200) -> Iterator[Time]:
    for epochs in (2, 3, 10, 30, 100, 1000, 10_000):
        for per_epoch in (1, 100) if per == "step" else (1,):
            n = epochs * per_epoch
            for i in range(n) if n <= most else sorted({round(k * (n - 1) / most) for k in range(most + 1)}):
                yield Time(i, n, per_epoch)
