"""The runs of one variant by seed: their progress, their values, and how long they took to reach one."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ablate.evidence.paired import Floats, average
from ablate.notes.note import Note
from ablate.recipe.measured import Reach
from ablate.recipe.variant import At, Compare, MeanOfLast
from ablate.store.places import Axis, at_of, axis_of, has, on_axis
from ablate.store.provenance import Origin, Provenance
from ablate.store.records import ENDED_BADLY, RunRecord, Status, VariantRecord

NONE: Mapping[str, float] = {}

Unit = Literal["seed", "fold"]
"""What the differences between variants are paired by."""

SAME = 1e-6
"""Losses that differ by less, relative to their size, are equal: a stack rounds differently from a single seed
(docs/design.md, 10).
"""

OF_TIME = re.compile("time|second|duration|^system/", re.IGNORECASE)
"""Names of logged metrics that differ between two runs of the same training."""

Curves = Callable[[str], Iterable[Mapping[str, Any]]]
"""From a fingerprint to the metrics of a run's epochs: `Store.metrics`."""

ORDER: tuple[Status, ...] = (*ENDED_BADLY, "running", "interrupted", "stale", "queued", "finished")
"""The status of several runs: the first of these that any of them has."""


def worst(statuses: Iterable[Status]) -> Status:
    """The status of all of them together; ``queued`` if there are none."""
    return min(statuses, key=ORDER.index, default="queued")


@dataclass(frozen=True)
class Tally:
    """The progress of a variant's runs: the number of ``planned`` and ``finished`` seeds, and of those in the variant's
    status, with ``reason``.

    ``epoch`` of ``epochs`` is the progress of the slowest run that is not finished, on ``axis``. ``unit`` is what is
    counted: the ``fold`` if a single seed was cross-validated, else the ``seed``. ``identical`` counts finished seeds
    that have the results of another one, ``trained`` the runs that have finished or diverged, ``ended`` such
    seeds.
    """

    planned: int = 1
    finished: int = 1
    affected: int = 0
    reason: str = ""
    epoch: float = 0
    epochs: int = 0
    axis: Axis = "epoch"
    unit: Unit = "seed"
    identical: int = 0
    trained: int = 0
    ended: int = 0


ENOUGH_DIGITS = 10
"""Number of equal digits of losses with which two seeds count as identical if losses may have been rounded."""


def digits(value: float) -> int:
    """The number of significant digits of a number: 3 of 0.125, 1 of 300."""
    return len(f"{value!r}".partition("e")[0].replace("-", "").replace(".", "").strip("0"))


class Seeds:
    """A variant's runs by seed. The folds of a seed count as one value, their mean, once all of them are finished.

    If there is one seed with several folds, the folds take the place of seeds. Seeds with identical results count once:
    the seed did not reach the training. They are recognized by all epochs, which are read from ``curves`` where the
    results are equal, and for means over epochs. ``rounded``: values may have been rounded, so that few equal digits
    say nothing.
    """

    def __init__(self, record: VariantRecord, curves: Curves | None = None, *, rounded: bool = False) -> None:
        self.rounded, self._curves = rounded, curves
        self._values: dict[tuple[str, At], Mapping[int, float]] = {}
        self._ends: dict[tuple[str, int], dict[int, list[list[float | None]]]] = {}
        self.variant = record.variant
        self.folds = len({run.fold for run in record.runs if run.fold is not None}) or None
        self.unit: Unit = "fold" if self.folds and len({run.seed for run in record.runs}) == 1 else "seed"
        self.runs: dict[int, list[RunRecord]] = {}
        for run in record.runs:
            self.runs.setdefault((run.fold or 0) if self.unit == "fold" else run.seed, []).append(run)
        self.statuses: dict[int, Status] = {seed: worst(r.status for r in runs) for seed, runs in self.runs.items()}
        self.status: Status = worst(self.statuses.values())
        self.finished = tuple(seed for seed, status in self.statuses.items() if status == "finished")
        self.identical = () if self.unit == "fold" else self._identical(curves)
        again = {seed for group in self.identical for seed in group[1:]}
        self.distinct = tuple(seed for seed in self.finished if seed not in again)

    def _identical(self, curves: Curves | None) -> tuple[tuple[int, ...], ...]:
        """Groups of finished seeds with the same results at all epochs."""
        marks = np.sort([self._mark(seed) for seed in self.finished])
        if not close(marks[1:], marks[:-1]).any():
            return ()
        groups: list[list[int]] = []
        firsts = np.empty(len(self.finished))
        for seed, loss in zip(self.finished, map(self._mark, self.finished), strict=True):
            # A look at one number leaves almost no groups to compare in full, as seeds may be many.
            for place in np.flatnonzero(close(firsts[: len(groups)], loss)):
                group = groups[place]
                pairs = zip(self.runs[group[0]], self.runs[seed], strict=False)
                if self.measured(seed) and all(self._same(*pair, curves) for pair in pairs):
                    group.append(seed)
                    break
            else:
                firsts[len(groups)] = loss
                groups.append([seed])
        return tuple(tuple(group) for group in groups if len(group) > 1)

    def _mark(self, seed: int) -> float:
        """A number of a seed's first run that is equal in the runs that are the same; infinite if it is missing."""
        loss = self.runs[seed][0].results.get("last", {}).get("train_loss")
        return math.inf if loss is None or "train_loss" in self._tracked else loss

    def _same(self, one: RunRecord, other: RunRecord, curves: Curves | None) -> bool:
        """Whether all that two runs recorded is equal: a coarse metric alone may be equal by chance, a loss is not."""
        names = {name for run in (one, other) for values in run.results.values() for name in values}
        names = {name for name in names - self._tracked if not OF_TIME.search(name)}
        losses = [values.get(name) for values in one.results.values() for name in names if "loss" in name]
        if not any(losses) or not equal({"": one.first_loss}, {"": other.first_loss}, [""]):
            return False
        if self.rounded and sum(digits(value) for value in set(losses) if value is not None) < ENOUGH_DIGITS:
            return False
        for at in one.results.keys() | other.results.keys():
            # earlier versions computed this loss also at the last and the best epoch
            these = names if at == "selected" else names - {"train_loss_clean"}
            if not equal(one.results.get(at, {}), other.results.get(at, {}), these):
                return False
        lines = [] if curves is None else zip_longest(*map(curves, (one.fingerprint, other.fingerprint)), fillvalue={})
        return all(equal(mine, theirs, names) for mine, theirs in lines)

    @property
    def _tracked(self) -> set[str]:
        """The names of tracked metrics: two runs never take the same time."""
        return {name for choice in self.variant.settings.watch for name in getattr(choice.options, "names", ())}

    def tally(self) -> Tally:
        """The progress of the runs."""
        under_way = [run for runs in self.runs.values() for run in runs if run.status in ("running", "interrupted")]
        slowest = min(under_way, key=lambda run: run.epoch, default=None)
        axis = axis_of([slowest] if slowest else [])
        affected = [seed for seed, status in self.statuses.items() if status == self.status]
        reasons = [run.reason for seed in affected for run in self.runs[seed] if run.reason]
        return Tally(
            planned=len(self.runs),
            finished=len(self.finished),
            affected=len(affected),
            reason=reasons[0] if reasons else "",
            epoch=on_axis(slowest.epoch, at_of(slowest), axis) if slowest else 0,
            epochs=(slowest.epochs if slowest else 0) or self.variant.settings.planned_epochs,
            axis=axis,
            unit=self.unit,
            identical=len(self.finished) - len(self.distinct),
            trained=sum(run.status in ENDED for runs in self.runs.values() for run in runs),
            ended=sum(status in ENDED for status in self.statuses.values()),
        )

    @property
    def whole(self) -> int:
        """The number of seeds that have finished, with all their folds."""
        return int(len(self.finished) == len(self.runs)) if self.unit == "fold" else len(self.finished)

    def some(self, which: Sequence[int]) -> tuple[int, ...]:
        """These seeds; none if they are all there are, and more than one."""
        return () if len(which) == len(self.runs) > 1 else tuple(which)

    def origins(self, provenances: Source) -> Iterator[Origin]:
        """The origins of all finished runs, from the provenance of those whose record lacks it."""
        finished = [run for seed in self.finished for run in self.runs[seed]]
        yield from (run.origin for run in finished if run.origin is not None)
        yield from (one.origin for one in provenances([run.fingerprint for run in finished if run.origin is None]))

    def metrics(self) -> list[str]:
        """The names of all metrics of finished runs, in their order."""
        return list(
            dict.fromkeys(n for s in self.finished for r in self.runs[s] for at in r.results.values() for n in at)
        )

    def values(self, metric: str, at: At) -> Mapping[int, float]:
        """The metric of every finished seed, identical ones once; empty if any value is missing or not finite, as the
        mean of the others would be biased.
        """
        if (metric, at) not in self._values:
            found = complete(self._each(metric, at))
            self._values[metric, at] = {seed: found[seed] for seed in self.distinct if seed in found}
        return self._values[metric, at]

    def compared(self, compare: Compare) -> Mapping[int, float]:
        """What verdicts compare: `values` of the compared metric, or their natural logarithms; empty if one of these is
        not positive.
        """
        values = self.values(compare.metric, compare.at)
        if not compare.log:
            return values
        return {} if self.not_positive(compare) else {seed: math.log(value) for seed, value in values.items()}

    def not_positive(self, compare: Compare) -> tuple[int, ...]:
        """The seeds whose value has no logarithm, if logarithms are compared."""
        values = self.values(compare.metric, compare.at) if compare.log else {}
        return tuple(seed for seed, value in values.items() if value <= 0)

    def failures(self, compare: Compare, among: Collection[int] | None = None) -> tuple[int, ...]:
        """The seeds with a run that diverged, or whose value the recipe declares as failed; none if it declares
        nothing.
        """
        if compare.failed is None:
            return ()
        limit, each = compare.failed, self._each(compare.metric, compare.at)
        lost = {seed for seed, status in self.statuses.items() if status == "diverged"}
        lost |= {seed for seed, values in each.items() if any(v is not None and v in limit for v in values)}
        return tuple(seed for seed in self.runs if seed in lost and (among is None or seed in among))

    def middle(self, compare: Compare) -> float | None:
        """The median of the compared metric over the seeds that have ended, where diverged ones are worse than all
        others. None if it is one of these, or if a value is unknown.
        """
        known = complete(self._each(compare.metric, compare.at))
        if len(known) < len(self.finished):
            return None
        worst = math.inf if compare.better == "lower" else -math.inf
        found = median([*known.values(), *(worst for status in self.statuses.values() if status == "diverged")])
        return found if math.isfinite(found) else None

    def facts(self, name: str) -> dict[int, float]:
        """A field of the record (``epoch``, ``seconds`` …) of every finished seed; empty if any value is missing."""
        return complete({seed: [getattr(run, name) for run in self.runs[seed]] for seed in self.finished})

    def places(self, which: Literal["last", "best"], axis: Axis) -> dict[int, float]:
        """Where the last or the best epoch of every finished seed is on the axis; empty if any is missing."""

        def of(run: RunRecord) -> float | None:
            point, at = (run.epoch if which == "last" else run.best_epoch), at_of(run, which)
            return None if point is None or not (has(axis, at) or axis == "point") else on_axis(point, at, axis)

        return complete({seed: [of(run) for run in self.runs[seed]] for seed in self.finished})

    def measured(self, seed: int) -> list[dict[str, float]]:
        """The metrics of the seed's runs at the selected epoch, fold by fold, without tracked metrics."""
        watched = self._tracked
        return [
            {name: value for name, value in run.results.get("selected", {}).items() if name not in watched}
            for run in self.runs[seed]
        ]

    def _each(self, metric: str, at: At) -> dict[int, list[float | None]]:
        """The metric of every run of the finished seeds."""
        if isinstance(at, MeanOfLast):
            ends = self._last_points(metric, at.count)
            return {seed: [mean_of(points, at.count) for points in each] for seed, each in ends.items()}
        return {seed: [r.results.get(at, NONE).get(metric) for r in self.runs[seed]] for seed in self.finished}

    def _last_points(self, metric: str, count: int) -> dict[int, list[list[float | None]]]:
        """The last ``count`` points of the metric (or fewer) of every run of the finished seeds."""
        if (metric, count) not in self._ends:
            read = self._curves or (lambda fingerprint: ())
            self._ends[metric, count] = {
                seed: [
                    list(deque((line[metric] for line in read(run.fingerprint) if metric in line), maxlen=count))
                    for run in self.runs[seed]
                ]
                for seed in self.finished
            }
        return self._ends[metric, count]

    def too_short(self, metric: str, at: At) -> tuple[int, ...]:
        """The finished seeds with fewer points than are to be averaged."""
        if not isinstance(at, MeanOfLast):
            return ()
        ends = self._last_points(metric, at.count)
        return tuple(seed for seed, each in ends.items() if any(len(points) < at.count for points in each))

    def equals(self, other: Seeds, seed: int) -> bool:
        """Whether a seed of two variants has the same metrics at the selected epoch, without tracked metrics."""
        watched = self._tracked
        for mine, theirs in zip(self.runs[seed], other.runs[seed], strict=False):
            values = theirs.results.get("selected", NONE)
            if any(values.get(n) != v for n, v in mine.results.get("selected", NONE).items() if n not in watched):
                return False
        return self.measured(seed) == other.measured(seed)

    def lacking(self, metric: str, at: At) -> list[int]:
        """Finished seeds without a finite value of the metric."""
        if self.values(metric, at):
            return []
        return [seed for seed, values in self._each(metric, at).items() if not finite(values)]

    def notes(self) -> list[Note]:
        """What was recorded of the runs and why some did not finish, each note once, with its seeds unless it holds for
        all.
        """
        found: dict[Note, list[int]] = {}
        for seed, runs in self.runs.items():
            for run in runs:
                notes = reported(run.notes)
                if run.status in ENDED_BADLY and run.reason:
                    notes.append(Note("ended_badly", values={"status": run.status, "reason": run.reason}))
                for note in notes:
                    seeds = found.setdefault(note, [])
                    if seed not in seeds:
                        seeds.append(seed)
        every = len(self.runs)
        return [replace(note, seeds=() if len(seeds) == every else tuple(seeds)) for note, seeds in found.items()]


def reported(notes: Sequence[Note]) -> list[Note]:
    """Notes of a run; of a metric that is not finite at the selected epoch, those about other epochs are left out."""
    selected = [n.values["metric"] for n in notes if n.kind == "not_finite" and n.values["at"] == "selected"]
    return [
        n for n in notes if n.kind != "not_finite" or n.values["at"] == "selected" or n.values["metric"] not in selected
    ]


def equal(mine: Mapping[str, Any], theirs: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether these numbers are equal up to rounding, or missing on both sides."""
    pairs = ((mine.get(name), theirs.get(name)) for name in names)
    return all(a == b or (finite((a, b)) and math.isclose(a or 0, b or 0, rel_tol=SAME)) for a, b in pairs)


def close(numbers: Floats, other: float | Floats) -> NDArray[np.bool_]:
    """Which numbers (n,) are equal to another one, or to others (n,), up to rounding, as `math.isclose` has it, or both
    infinite.
    """
    with np.errstate(all="ignore"):  # infinite or of extreme size
        near = np.abs(numbers - other) <= SAME * np.maximum(np.abs(numbers), np.abs(other))
    found: NDArray[np.bool_] = near | (numbers == other)
    return found


def finite(values: Iterable[float | None]) -> bool:
    """Whether all are numbers, none of them infinite or too large for a float."""
    known = list(values)
    return None not in known and all(map(math.isfinite, known))  # type: ignore[arg-type]  # no None


def mean_of(points: Sequence[float | None], count: int) -> float | None:
    """The mean of ``count`` points; None if there are fewer, or if one is not finite."""
    known = [value for value in points if value is not None and math.isfinite(value)]
    return average(known) if len(known) == len(points) == count else None


def complete(folds: Mapping[int, Sequence[float | None]]) -> dict[int, float]:
    """The mean over folds for each seed; empty where any value is missing."""
    if not finite(value for values in folds.values() for value in values):
        return {}
    known = {seed: [float(v) for v in values if v is not None] for seed, values in folds.items()}
    return {seed: values[0] if len(values) == 1 else average(values) for seed, values in known.items()}


Source = Callable[[Sequence[str]], Iterable[Provenance]]
"""From fingerprints to the provenances of their runs: `Store.provenances`."""

ENDED = ("finished", "diverged")


def reach_keys(mark: Reach) -> tuple[str, str, str]:
    """The keys of the epochs, the seconds and the number of runs that reached the value."""
    return f"reach_{mark.metric}_epochs", f"reach_{mark.metric}_seconds", f"reach_{mark.metric}_runs"


def reaching(
    seeds: Seeds, mark: Reach, curves: Curves, provenances: Source | None = None, axis: Axis = "epoch"
) -> dict[str, float | None]:
    """Median epochs and seconds to the value over the runs that have ended (None if one of them never reached it), and
    how many did.

    A median over those that did would be biased. Seconds are a seed's share of its stack's; ``provenances`` hold which
    seeds of a job were stacked.
    """
    runs = [run for each in seeds.runs.values() for run in each if run.status in ENDED]
    found = [first(run, mark, curves, together(run, provenances), axis) for run in runs]
    there = [one for one in found if one is not None]
    every = bool(runs) and len(there) == len(runs)
    epochs, seconds, count = reach_keys(mark)
    return {
        epochs: float(median(epoch for epoch, _ in there)) if every else None,
        seconds: known if every and math.isfinite(known := float(median(time for _, time in there))) else None,
        count: len(there) if runs else None,
    }


def together(run: RunRecord, provenances: Source | None) -> int:
    """The number of seeds in this run's stack: those of its job, unless they were not stacked together."""
    known = [one.facts.stack for one in provenances([run.fingerprint])] if provenances is not None else []
    stacks = (known and known[0]) or [run.stack]
    return next((len(stack) for stack in stacks if run.seed in stack), 1)


def first(run: RunRecord, mark: Reach, curves: Curves, count: int, axis: Axis) -> tuple[float, float] | None:
    """The first epoch at which a run reached the value, and its training time until then; None if it never did.

    The recorded time is that of all ``count`` seeds of a stack.
    """
    for line in curves(run.fingerprint):
        if mark.reached(line.get(mark.metric)):
            return on_axis(line["epoch"], line.get("at"), axis), float(line.get("seconds") or 0.0) / count
    return None
