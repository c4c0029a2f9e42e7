"""What the curves of a variant's runs say about its training: whether it learned anything, converged, overfits …

A finding holds for a variant if at least half of its runs show it. Its numbers are medians over these runs. The loss of
an epoch is that which is recorded: the training loss is in training mode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.paired import Floats
from ablate.evidence.seeds import Curves, Seeds
from ablate.notes.note import Kind, Note
from ablate.store.places import Axis, at_of, on_axis
from ablate.store.records import RunRecord

FEWEST = 10
"""The fewest points of a curve whose shape is judged."""

FEW = 3
"""The fewest points from which it is said that nothing was learned."""

LEARNED = 0.95
"""A training loss above this fraction of the loss of the first step: the network has learned nothing."""

UNDERFITS = 0.5
"""A training loss above this fraction of the loss of the first step, if it no longer falls: the network underfits."""

DIVERGING = 2.0
"""How many times its minimum the training loss is at the end if the training is diverging (Amazon SageMaker Debugger,
rule ``loss_not_decreasing``; TheDeepChecker, Ben Braiek and Khomh 2022).
"""

GAP = 2.0
"""How many times the training loss the validation loss is if the network generalizes poorly."""

CLOSE = 1.1
"""The same if the network does not overfit at all."""

RISE = 0.02
"""By which fraction the validation loss rises, in means over a fifth of the training, if the network overfits."""

FALLS = 0.03
"""By which fraction the validation loss falls over the last fifth of a training that has not converged."""

FLAT = 0.01
"""Within this fraction of its minimum, the validation loss no longer improves."""

JITTER = 0.1
"""The median change of the validation loss from epoch to epoch, beside its trend, as a fraction of it, if it
oscillates.
"""

TO_NOISE = 1.4826 / 2**0.5
"""From the median size of a difference of two normal numbers to the standard deviation of one of them."""

DEAD = 0.5
"""The fraction of ReLU units that are zero for every sample if too many are dead (Amazon SageMaker Debugger)."""

UPDATES = (1e-5, 1e-1)
"""The range of an ordinary ‖update‖/‖weights‖ of a step; 1e-3 is good (Karpathy, CS231n)."""


@dataclass(frozen=True)
class Losses:
    """The losses of one run at its ``places``, all (n,); empty if they were not recorded. ``start`` is the loss of the
    first step.
    """

    places: Floats
    train: Floats
    valid: Floats
    start: float | None = None

    @property
    def is_long(self) -> bool:
        """Whether both curves have enough points to judge their shape."""
        return min(len(self.train), len(self.valid)) >= FEWEST


Found = dict[Kind, dict[str, Any]]
"""Findings of one run: their numbers, by kind."""


def diagnose(seeds: Seeds, curves: Curves, axis: Axis = "epoch") -> tuple[Note, ...]:
    """The findings about a variant, from the curves of its finished and diverged runs."""
    found: dict[Kind, list[tuple[int, dict[str, Any]]]] = {}
    ended = [(seed, run) for seed, each in seeds.runs.items() for run in each if run.status in ("finished", "diverged")]
    for seed, run in ended:
        for kind, values in of_run(run, list(curves(run.fingerprint)), axis).items():
            found.setdefault(kind, []).append((seed, values))
    notes = []
    for kind, cases in found.items():
        if 2 * len(cases) < len(ended) and kind != "diverged_at":
            continue
        which = tuple(dict.fromkeys(seed for seed, _ in cases))
        numbers = {key: median(values[key] for _, values in cases) for key in cases[0][1]}
        notes.append(Note(kind, seeds=() if len(cases) == len(ended) else which, values={**numbers, "axis": axis}))
    return tuple(notes)


def of_run(run: RunRecord, lines: Sequence[Mapping[str, Any]], axis: Axis) -> Found:
    """The findings about one run."""
    if run.status == "diverged":
        return {"diverged_at": {"last_at": on_axis(run.epoch, at_of(run), axis)}}
    known = losses_of(run, lines, axis)
    return of_losses(known) | of_tracked(lines)


def losses_of(run: RunRecord, lines: Sequence[Mapping[str, Any]], axis: Axis) -> Losses:
    """The losses of a run, at the points that have both if both were recorded."""
    names = [name for name in ("train_loss", "valid_loss") if any(line.get(name) is not None for line in lines)]
    whole = [line for line in lines if all(isinstance(line.get(name), int | float) for name in names)] if names else []
    columns = {name: np.array([float(line[name]) for line in whole]) for name in names}
    places = np.array([on_axis(line["epoch"], line.get("at"), axis) for line in whole])
    # weights that were loaded begin with a low loss
    loaded = any(note.kind == "initial_weights" for note in run.notes)
    empty = np.empty(0)
    train, valid = (columns.get(name, empty) for name in ("train_loss", "valid_loss"))
    return Losses(places, train, valid, None if loaded else run.first_loss)


def of_losses(known: Losses) -> Found:
    """The findings about the curves of the losses: those about the training loss first, which explain the others."""
    found = of_training(known)
    if found or not known.is_long:
        return found
    valid = smooth(known.valid)
    places, last, k = known.places, float(valid[-1]), int(np.argmin(valid))
    scale = size_of(valid)
    jitter = float(np.median(np.abs(np.diff(half(known.valid), 2)))) / 3**0.5  # without the trend
    noise = jitter * TO_NOISE
    best = int(np.argmin(known.valid))
    ends = {"best_at": float(places[best]), "last_at": float(places[-1]), "best": float(known.valid[best])}
    if jitter > JITTER * scale:
        found["oscillates"] = {"percent": 100 * jitter / scale}
    if overfits(known, noise):
        return found | {"overfits": {**ends, "last": last, "train": float(known.train[-1])}}
    if falls(known.valid, noise):
        found["not_converged"] = {"percent": 100 * drop(known.valid) / scale, "last_at": ends["last_at"]}
    if known.train[-1] > 0 and last > GAP * known.train[-1]:
        found["gap"] = {"last": last, "train": float(known.train[-1]), "ratio": last / float(known.train[-1])}
    elif is_high(known) and last < CLOSE * known.train[-1] and not falls(known.train, 0.0):
        found["underfits"] = {"train": float(known.train[-1]), "last": last, "start": known.start}
    done = int(np.argmax(valid <= valid[k] + FLAT * scale))
    if done < 0.6 * len(valid) and not found:
        found["flat"] = {"best_at": float(places[done]), "last_at": ends["last_at"]}
    return found


def of_training(known: Losses) -> Found:
    """What is wrong with the training loss itself."""
    train = known.train
    if not len(train):
        return {}
    if len(train) >= FEWEST and train[-1] > DIVERGING * train.min() > 0:
        least = int(np.argmin(train))
        ends = {"last": float(train[-1]), "best": float(train[least]), "best_at": float(known.places[least])}
        return {"diverging": {**ends, "ratio": ends["last"] / ends["best"]}}
    start, late = known.start, median(train[-(len(train) // 5 + 1) :])
    if len(train) >= FEW and start is not None and late > LEARNED * start > 0:
        return {"learned_nothing": {"train": float(train[-1]), "start": start}}
    return {}


def is_high(known: Losses) -> bool:
    """Whether the training loss is still near that of the first step."""
    return known.start is not None and bool(known.train[-1] > UNDERFITS * known.start > 0)


def of_tracked(lines: Sequence[Mapping[str, Any]]) -> Found:
    """The findings about tracked metrics (``watch``) at the last epoch that has them."""
    found: Found = {}
    dead, update = (last_of(lines, name) for name in ("dead_relus", "update_ratio"))
    if dead is not None and dead > DEAD:
        found["dead_units"] = {"percent": 100 * dead}
    if update is not None and update > UPDATES[1]:
        found["large_updates"] = {"size": update}
    if update is not None and update < UPDATES[0]:
        found["small_updates"] = {"size": update}
    return found


def last_of(lines: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The last value of a metric that was recorded."""
    return next((float(line[name]) for line in reversed(lines) if line.get(name) is not None), None)


def smooth(values: Floats) -> Floats:
    """The running median over a twentieth of a curve (n,), at least three points."""
    width = max(3, len(values) // 20) // 2 * 2 + 1
    padded = np.pad(values, width // 2, mode="edge")
    found: Floats = np.median(sliding_window_view(padded, width), axis=1)
    return found


def half(values: Floats) -> Floats:
    """The second half of a curve."""
    return values[len(values) // 2 :]


def size_of(values: Floats) -> float:
    """The size of a loss in the second half; if it is not always positive, the range of the whole curve."""
    return float(np.median(half(values))) if values.min() > 0 else float(np.ptp(values))


def drop(values: Floats) -> float:
    """By how much a curve falls from its fourth fifth to its last one, in the mean."""
    part = max(len(values) // 5, 1)
    return float(values[-2 * part : -part].mean() - values[-part:].mean())


def falls(values: Floats, noise: float) -> bool:
    """Whether a curve is still falling at its end."""
    return drop(values) > max(FALLS * size_of(values), error(len(values), noise))


def overfits(known: Losses, noise: float) -> bool:
    """Whether the validation loss rises after its minimum, and the training loss does not, in means over a fifth."""
    part = len(known.valid) // 5
    valid, train = (np.convolve(curve, np.ones(part) / part, "valid") for curve in (known.valid, known.train))
    least = int(np.argmin(valid))
    rise = float(valid[-1] - valid[least])
    return rise > max(RISE * size_of(known.valid), error(len(known.valid), noise)) and train[-1] < train[least]


def error(count: int, noise: float) -> float:
    """Three standard errors of a difference between means over a fifth of a curve."""
    return 3 * noise * math.sqrt(2 / max(count // 5, 1))


class NoDiagnosis:
    """No findings about any variant: its curves are not known."""

    def __call__(self, variant: str) -> tuple[Note, ...]:
        return ()


class Diagnosis(NoDiagnosis):
    """The findings about each variant, each computed when it is asked for."""

    def __init__(self, known: Mapping[str, Seeds], curves: Curves, axis: Axis, new_samples: NoNewSamples) -> None:
        self.known, self.curves, self.axis, self.new_samples = known, curves, axis, new_samples
        self._found: dict[str, tuple[Note, ...]] = {}

    def __call__(self, variant: str) -> tuple[Note, ...]:
        if variant not in self._found and variant in self.known:
            one = self.new_samples(variant)
            few = () if one is None or one.enough_samples is None else (few_samples(one.samples, one.enough_samples),)
            self._found[variant] = (*diagnose(self.known[variant], self.curves, self.axis), *few)
        return self._found.get(variant, ())


def few_samples(count: int, enough: int) -> Note:
    """The finding that the validation set is too small for a variant's effect."""
    return Note("few_samples", values={"count": count, "total": enough})
