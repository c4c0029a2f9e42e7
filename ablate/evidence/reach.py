"""Epochs and seconds that variants took to reach a value, from the metrics of each run's epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

from ablate.evidence.seeds import Seeds
from ablate.recipe.measured import Reach
from ablate.store.records import RunRecord

Curves = Callable[[str], Iterable[Mapping[str, Any]]]
"""From a fingerprint to the metrics of a run's epochs: `Store.metrics`."""

Provenance = Callable[[str], Mapping[str, Any]]
"""From a fingerprint to the provenance of its run: `Store.provenance`."""

ENDED = ("finished", "diverged")


def reach_keys(mark: Reach) -> tuple[str, str, str]:
    """The keys of the epochs, the seconds and the number of runs that reached the value."""
    return f"reach_{mark.metric}_epochs", f"reach_{mark.metric}_seconds", f"reach_{mark.metric}_runs"


def reaching(
    seeds: Seeds, mark: Reach, curves: Curves, provenance: Provenance | None = None
) -> dict[str, float | None]:
    """Median epochs and seconds to the value over the runs that have ended (None if one of them never reached it), and
    how many did.

    A median over those that did would be biased. Seconds are a seed's share of its stack's; ``provenance`` holds which
    seeds of a job were stacked.
    """
    runs = [run for each in seeds.runs.values() for run in each if run.status in ENDED]
    found = [first(run, mark, curves, together(run, provenance)) for run in runs]
    there = [one for one in found if one is not None]
    every = bool(runs) and len(there) == len(runs)
    epochs, seconds, count = reach_keys(mark)
    return {
        epochs: float(median(epoch for epoch, _ in there)) if every else None,
        seconds: float(median(time for _, time in there)) if every else None,
        count: len(there) if runs else None,
    }


def together(run: RunRecord, provenance: Provenance | None) -> int:
    """The number of seeds in this run's stack: those of its job, unless they were not stacked together."""
    stacks = (provenance(run.fingerprint) if provenance is not None else {}).get("facts", {}).get("stack") or [
        run.stack
    ]
    return next((len(stack) for stack in stacks if run.seed in stack), 1)


def first(run: RunRecord, mark: Reach, curves: Curves, count: int) -> tuple[int, float] | None:
    """The first epoch at which a run reached the value, and its training time until then; None if it never did.

    The recorded time is that of all ``count`` seeds of a stack.
    """
    for line in curves(run.fingerprint):
        if mark.reached(line.get(mark.metric)):
            return int(line["epoch"]), float(line.get("seconds") or 0.0) / count
    return None
