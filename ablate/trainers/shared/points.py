"""The points of a run: what the user's own training reports, call by call, as the lines of a run's metrics."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from ablate.engine.contract import LARGEST_LOSS, Outcome
from ablate.recipe.settings import Settings

LOSSES = ("train_loss", "valid_loss")
"""A run diverges if one of these, or the monitored metric, is not finite, or a loss beyond `LARGEST_LOSS`."""

OWN = ("epoch", "time", "seconds", "at")
"""Keys of a line that are not metrics."""


LARGEST_PLACE = 1e15
"""Epochs and steps beyond it would not be exact."""

KEPT = ("count", "seconds", "first_loss", "last", "best", "best_point", "at", "best_at", "has_epochs")
"""What a checkpoint holds of `Points`."""


class Diverged(BaseException):
    """A loss is NaN or infinite. Not an `Exception`, so that the user's code does not handle it."""


@dataclass
class Points:
    """The points of one run. ``write`` receives each line when it is complete.

    A point collects the calls of one (epoch, step). Its line has ``epoch``, the number of the point, ``seconds``, the
    time of the training so far, and ``at``, where the user's code says it is, if that is different: a step holds until
    the next one, and a call without a place is where the one before it was. ``has_epochs``: whether all calls with a
    place had an epoch. ``first_loss`` is the loss of a first point at epoch or step 0, before training.
    """

    settings: Settings
    write: Callable[[Mapping[str, Any]], None]
    count: int = 0
    last: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    best_point: int | None = None
    epoch: float | None = None
    seconds: float = 0.0
    first_loss: float | None = None
    at: dict[str, float] = field(default_factory=dict)
    best_at: dict[str, float] = field(default_factory=dict)
    has_epochs: bool = True
    diverged: str = ""
    _open: dict[str, float | None] = field(default_factory=dict)
    _at: tuple[float | None, int | None] | None = None
    _clock: float = field(default_factory=time.monotonic)

    @property
    def current(self) -> int:
        """The number of the point that was recorded last, whether its line is complete or not."""
        return self.count + (self._at is not None)

    def add(self, values: Mapping[str, object], epoch: float | None = None, step: int | None = None) -> None:
        """Record metrics at an epoch and step. Raises `Diverged`, and TypeError or ValueError with one line."""
        checked = {name: number(name, value) for name, value in values.items()}
        here = (None if epoch is None else place("epoch", epoch), None if step is None else int(place("step", step)))
        if self._at is not None and (here == (None, None) or here != self._at):
            self.flush()
        self._at = here
        for name, value in checked.items():
            self._open[name] = value if math.isfinite(value) else None
            lost = name in LOSSES and not abs(value) <= LARGEST_LOSS
            if lost or (name == self.settings.monitor.metric and not math.isfinite(value)):
                self.flush()
                rule = f"is beyond ±{LARGEST_LOSS:g}" if math.isfinite(value) else "is not finite"
                self.diverged = f"{name} (={value}) {rule} at {self._place(here)}"
                raise Diverged(self.diverged)

    def add_to_last(self, values: Mapping[str, object]) -> None:
        """Record metrics at the last point, or at the first if there is none."""
        epoch, step = self._at or (None, None)
        if (epoch, step) == (None, None) and self._at is not None:
            values = {**self._open, **values}
            self._open, self._at = {}, None
        self.add(values, epoch, step)

    def flush(self) -> None:
        """Write the line of the open point."""
        if self._at is None:
            return
        self.count += 1
        now = time.monotonic()
        self.seconds += now - self._clock
        line: dict[str, Any] = {"epoch": self.count, "time": time.time(), "seconds": round(self.seconds, 4)}
        given = {name: value for name, value in zip(("epoch", "step"), self._at, strict=True) if value is not None}
        if given:
            self.at = {name: value for name, value in self.at.items() if name == "step"} | given
            self.has_epochs &= "epoch" in given
        if self.at != {"epoch": self.count}:
            line["at"] = dict(self.at)
        if self.count == 1 and 0 in self._at:
            self.first_loss = self._open.get("valid_loss", self._open.get("train_loss"))
        self.last |= {name: value for name, value in self._open.items() if value is not None}
        self._note_best()
        self.epoch = self._at[0]
        values, self._open, self._at, self._clock = self._open, {}, None, now
        self.write(line | values)

    def _note_best(self) -> None:
        metric, lower = self.settings.monitor.metric, self.settings.monitor.better == "lower"
        value = self._open.get(metric)
        if value is None:
            return
        known = self.best.get(metric)
        if known is None or (value < known if lower else value > known):
            self.best, self.best_point, self.best_at = dict(self.last), self.count, dict(self.at)

    def _place(self, at: tuple[float | None, int | None]) -> str:
        named = [f"{name} {value:g}" for name, value in zip(("epoch", "step"), at, strict=True) if value is not None]
        return ", ".join(named) or f"point {self.count}"

    def outcome(self, seed: int) -> Outcome:
        """The result of a run that has ended. Raises ValueError if nothing was recorded, or not what is selected."""
        self.flush()
        units = ("epoch", "step") if self.has_epochs else ("step",)
        of_points = {"last": self.at, "best": self.best_at}
        places = {which: {unit: at[unit] for unit in units if unit in at} for which, at in of_points.items()}
        if self.diverged:
            return Outcome(seed, "diverged", self.count, self.diverged, first_loss=self.first_loss, places=places)
        if not self.last:
            raise ValueError("it reported no metrics. Call run.log(valid_loss=…), or return {'valid_loss': …}")
        metric = self.settings.monitor.metric
        if self.best_point is None and self.settings.select == "best":
            raise ValueError(f"select: best requires {metric}, which it did not report. Set monitor.metric")
        best = self.best if self.best_point is not None else self.last
        selected = (best, self.best_point) if self.settings.select == "best" else (self.last, self.count)
        results = {"selected": selected[0], "last": self.last, "best": best}
        return Outcome(
            seed, "finished", self.count, "", self.best_point, selected[1], results, self.first_loss, places=places
        )

    def state(self) -> dict[str, Any]:
        """What `restore` needs; without the open point."""
        return {name: copy.copy(getattr(self, name)) for name in KEPT}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue after a checkpoint."""
        for name in KEPT:
            setattr(self, name, copy.copy(state.get(name, getattr(self, name))))


def number(name: str, value: object) -> float:
    """A number, also from a tensor or array with one element. Raises TypeError with one line."""
    if name in OWN[1:]:
        raise ValueError(f"metric (={name}) must have another name: ablate records this itself.")
    if isinstance(value, Real):
        return float(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) is not None and _elements(value) == 1:
        return float(item())
    kind = type(value).__name__
    raise TypeError(f"metric {name} (={str(value)[:40]}, a {kind}) must be a number, or a tensor with one element.")


def place(name: str, value: object) -> float:
    """An epoch or step. Raises TypeError or ValueError with one line."""
    found = number(name, value)
    if not abs(found) <= LARGEST_PLACE:
        raise ValueError(f"{name} (={found:g}) must be a number between -1e15 and 1e15.")
    return found


def _elements(value: Any) -> int:
    return int(math.prod(value.shape))
