"""Where a training was at its points, which are the lines of a run's metrics.

The place ``at`` of a point has the epoch and step that the user's own training gave. Where it is None, points are
epochs. The built-in loop gives the place of an epoch that is cut short at the end (9.9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from ablate.store.records import RunRecord

Axis = Literal["epoch", "step", "point"]
"""What points are counted in."""

At = Mapping[str, float] | None


def axis_of(runs: Iterable[RunRecord]) -> Axis:
    """The code's own epochs if all runs that have begun have them, else its steps, else the points."""
    known = [at_of(run) for run in runs if run.epoch]
    axes: tuple[Axis, ...] = ("epoch", "step")
    return next((axis for axis in axes if all(has(axis, at) for at in known)), "point")


def axis_at(at: At) -> Axis:
    """The same for one place."""
    return "epoch" if has("epoch", at) else "step" if has("step", at) else "point"


def has(axis: Axis, at: At) -> bool:
    return axis == "epoch" if at is None else axis in at


def at_of(run: RunRecord, which: str = "last") -> At:
    """The place of a run's ``last`` or ``best`` point."""
    return None if run.places is None else run.places.get(which, {})


def on_axis(point: float, at: At, axis: Axis) -> float:
    """A point on an axis; 0 if the code gave its first place later."""
    return point if at is None or axis == "point" else at.get(axis, 0)


def epochs_of(run: RunRecord) -> float:
    """The number of epochs of a run so far; of points, if its code does not give epochs."""
    at = at_of(run)
    return run.epoch if at is None else at.get("epoch", run.epoch)


def progress(value: float, epochs: int, axis: Axis) -> str:
    """``9.9/20``, or ``step 2,000`` if it is not known how many there are."""
    if axis == "epoch":
        return f"{value:.10g}/{epochs}" if epochs else f"{value:.10g}"
    return f"{axis} {value:,.10g}"


def place_text(point: float, at: At) -> str:
    """``epoch 9.9``, ``step 2,000`` or ``point 3``."""
    axis = axis_at(at)
    return f"{axis} {on_axis(point, at, axis):,.10g}"
