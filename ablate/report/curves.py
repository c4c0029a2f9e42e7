"""Learning curves as numbers: the metrics of each seed by epoch or step,
and their mean and range over a variant's seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.store.places import Axis, axis_of, on_axis
from ablate.store.records import RunRecord, Status, StudyRecord
from ablate.store.store import Store

Values = NDArray[np.float64]

NOT_CURVES = ("epoch", "time", "seconds", "at")

MOST_POINTS = 400
"""The most points of a curve; longer ones are averaged over stretches of equal length, seed by seed."""


@dataclass(frozen=True)
class Line:
    """One metric of one seed: ``values`` at ``epochs``, both (n,), NaN if nothing was measured; folds of a seed are
    averaged. ``last`` is its last epoch. Epochs are places on the study's axis.

    With peaks, ``low`` and ``high`` (n,) are the smallest and the largest value of each point's stretch, otherwise
    ``values``; ``outline`` (m, 2) has the places and values of these, in order.
    """

    seed: int
    status: Status
    last: float
    epochs: Values
    values: Values
    low: Values
    high: Values
    outline: Values | None = None


@dataclass(frozen=True)
class Curve:
    """One metric of a variant. ``mean``, ``low`` and ``high`` (n,) are over all seeds, as long as they have the same
    epochs; empty if one diverged. Up to ``stretch`` values make one point, which has their mean.
    """

    lines: tuple[Line, ...]
    epochs: Values
    mean: Values
    low: Values
    high: Values
    stretch: int = 1

    @property
    def diverged(self) -> tuple[Line, ...]:
        """The seeds that ended without a result."""
        return tuple(line for line in self.lines if line.status == "diverged")


class Seed(NamedTuple):
    """A seed's points: their places on the study's axis, and values by metric, all (n,)."""

    seed: int
    status: Status
    places: Values
    metrics: Mapping[str, Values]


class Curves:
    """The curves of a study in the store. A variant's are read when they are asked for: a study may have more runs than
    fit in memory. ``points``: the most of a curve. ``peaks``: thinned curves keep their smallest and largest values.
    """

    def __init__(self, study: StudyRecord, store: Store, *, points: int = MOST_POINTS, peaks: bool = False) -> None:
        self._points, self._peaks = points, peaks
        self._rows = {row.variant.name: row for row in study.rows}
        self._store = store
        self.axis: Axis = axis_of([run for row in study.rows for run in row.runs])
        self._read: dict[str, dict[str, Curve]] = {}

    def of(self, variant: str | None) -> Mapping[str, Curve]:
        """The variant's curves by metric; empty if it has none, or is not of the study."""
        if variant is None or variant not in self._rows:
            return {}
        if variant not in self._read:
            self._read[variant] = _curves(list(self._seeds(variant)), self._points, self._peaks)
        return self._read[variant]

    def has(self, variant: str | None, metrics: Collection[str] = ()) -> bool:
        """Whether the variant has a curve, of one of these metrics if given; reads no more runs than it takes."""
        if variant is None or variant not in self._rows:
            return False
        return any(
            not metrics or not seed.metrics.keys().isdisjoint(metrics) for seed in self._seeds(variant) if seed.metrics
        )

    @cached_property
    def names(self) -> list[str]:
        """The names of all metrics, in their order."""
        return list(dict.fromkeys(name for row in self._rows for seed in self._seeds(row) for name in seed.metrics))

    def _seeds(self, variant: str) -> Iterator[Seed]:
        """The variant's seeds; folds are averaged up to the last point that all have."""
        folds: dict[int, list[RunRecord]] = {}
        for run in self._rows[variant].runs:
            folds.setdefault(run.seed, []).append(run)
        for seed, runs in folds.items():
            read = [(run.status, _columns(self._store.metrics(run.fingerprint), self.axis)) for run in runs]
            parts = [(status, places, values) for status, (places, values) in read if values]
            if not parts:
                continue
            statuses = {status for status, _, _ in parts}
            status: Status = "diverged" if "diverged" in statuses else parts[0][0]
            shared = [name for name in parts[0][2] if all(name in values for _, _, values in parts)]
            places = _mean([places for _, places, _ in parts])
            yield Seed(seed, status, places, {name: _mean([values[name] for _, _, values in parts]) for name in shared})


def _curves(seeds: Sequence[Seed], points: int, peaks: bool) -> dict[str, Curve]:
    """The curves of a variant by metric."""
    stretch = -(-max((len(seed.places) for seed in seeds), default=0) // points) or 1
    return {
        name: _curve([_thinned(seed, name, stretch, peaks) for seed in seeds if name in seed.metrics], stretch)
        for name in dict.fromkeys(name for seed in seeds for name in seed.metrics)
    }


def _columns(lines: Iterable[Mapping[str, Any]], axis: Axis) -> tuple[Values, dict[str, Values]]:
    """Lines of metrics as columns from point 1 on: their places, and the values of each metric."""
    places: dict[int, float] = {}
    points: dict[str, dict[int, float]] = {}
    last = 0
    for line in lines:
        epoch = last = int(line["epoch"])
        places[epoch] = on_axis(epoch, line.get("at"), axis)
        for name, value in line.items():
            if name not in NOT_CURVES and isinstance(value, int | float) and not isinstance(value, bool):
                points.setdefault(name, {})[epoch] = float(value)
    columns = {}
    for name, known in points.items():
        columns[name] = np.full(last, np.nan)
        columns[name][np.fromiter(known, int) - 1] = np.fromiter(known.values(), float)
    return np.array([places.get(point, point) for point in range(1, last + 1)], np.float64), columns


def _mean(values: Sequence[Values]) -> Values:
    shortest = min(len(one) for one in values)
    return np.asarray(np.mean([one[:shortest] for one in values], axis=0))


def _thinned(seed: Seed, name: str, stretch: int, peaks: bool) -> Line:
    """A seed's line with a point for each stretch of points: the means of what was measured there."""
    values = seed.metrics[name]
    starts = np.arange(0, len(values), stretch)
    known = np.isfinite(values)
    count = np.add.reduceat(known, starts, dtype=np.float64)
    total = np.add.reduceat(np.where(known, values, 0.0), starts)
    with np.errstate(invalid="ignore"):
        means = total / np.where(count > 0, count, np.nan)
    lengths = np.minimum(starts + stretch, len(values)) - starts
    places = np.add.reduceat(seed.places, starts) / lengths
    last = float(seed.places.max())
    if not peaks:
        return Line(seed.seed, seed.status, last, places, means, means, means)
    low = np.where(count > 0, np.minimum.reduceat(np.where(known, values, np.inf), starts), np.nan)
    high = np.where(count > 0, np.maximum.reduceat(np.where(known, values, -np.inf), starts), np.nan)
    return Line(seed.seed, seed.status, last, places, means, low, high, _outline(seed.places, values, stretch))


def _outline(places: Values, values: Values, stretch: int) -> Values:
    """The smallest and the largest value of each stretch of points, and the first and last that are known, in order:
    places and values, (m, 2).
    """
    padded = np.full(-(-len(values) // stretch) * stretch, np.nan)
    padded[: len(values)] = values
    table: Values = padded.reshape(-1, stretch)
    known = np.isfinite(table)
    ends = [np.where(known, table, np.inf).argmin(axis=1), np.where(known, table, -np.inf).argmax(axis=1)]
    inside = (np.column_stack(ends) + stretch * np.arange(len(table))[:, None])[known.any(axis=1)]
    kept = np.unique([*inside.ravel(), *np.flatnonzero(known.ravel())[[0, -1] if known.any() else []]]).astype(int)
    return np.column_stack([places[kept], values[kept]])


def _curve(lines: Sequence[Line], stretch: int) -> Curve:
    shortest = min(len(line.values) for line in lines)
    if any(line.status == "diverged" for line in lines):
        shortest = 0  # a mean over the other seeds would be biased
    else:
        # a last stretch that is incomplete for one seed differs between seeds, and so may places
        shortest = next((i for i in range(shortest) if len({line.epochs[i] for line in lines}) > 1), shortest)
    mean = np.mean([line.values[:shortest] for line in lines], axis=0)
    low = np.min([line.low[:shortest] for line in lines], axis=0)
    high = np.max([line.high[:shortest] for line in lines], axis=0)
    return Curve(tuple(lines), lines[0].epochs[:shortest], mean, low, high, stretch)
