"""The runs of one row, seed by seed: how far they came, and their values where all came through."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.store.records import ENDED_BADLY, RunRecord, Status, VariantRecord

Unit = Literal["seed", "fold"]
"""What the differences between rows are paired by."""

ORDER: tuple[Status, ...] = (*ENDED_BADLY, "running", "interrupted", "stale", "queued", "finished")
"""Which status speaks for several runs: the first of these that any of them has."""

NOT_FINITE = " is not finite at its "
"""What a run says of a metric at each epoch that can be asked for: ``auc (=nan) is not finite at its last epoch``."""


def worst(statuses: Iterable[Status]) -> Status:
    """The status that speaks for all of them; ``queued`` where there are none."""
    return min(statuses, key=ORDER.index, default="queued")


@dataclass(frozen=True)
class Tally:
    """How far a row's runs came: ``planned`` seeds, ``finished`` ones, and how many are in the state that the row reports, with ``reason``.

    ``epoch`` of ``epochs`` is where the least advanced run that is under way stands. ``unit`` is what is counted: the ``fold`` of one seed that was
    cross-validated, else the ``seed``.
    """

    planned: int = 1
    finished: int = 1
    affected: int = 0
    reason: str = ""
    epoch: int = 0
    epochs: int = 0
    unit: Unit = "seed"


class Seeds:
    """A row's runs by seed. Folds of one seed count as one: their mean, once all of them are there.

    Of one seed alone, what tells chance from effect are its ``folds``: these then stand where seeds would.
    """

    def __init__(self, record: VariantRecord) -> None:
        self.variant = record.variant
        self.folds = len({run.fold for run in record.runs if run.fold is not None}) or None
        self.unit: Unit = "fold" if self.folds and len({run.seed for run in record.runs}) == 1 else "seed"
        self.runs: dict[int, list[RunRecord]] = {}
        for run in record.runs:
            self.runs.setdefault((run.fold or 0) if self.unit == "fold" else run.seed, []).append(run)
        self.statuses: dict[int, Status] = {seed: worst(r.status for r in runs) for seed, runs in self.runs.items()}
        self.status: Status = worst(self.statuses.values())
        self.finished = tuple(seed for seed, status in self.statuses.items() if status == "finished")

    def tally(self) -> Tally:
        """How far the runs came."""
        under_way = [run for runs in self.runs.values() for run in runs if run.status in ("running", "interrupted")]
        slowest = min(under_way, key=lambda run: run.epoch, default=None)
        affected = [seed for seed, status in self.statuses.items() if status == self.status]
        reasons = [run.reason for seed in affected for run in self.runs[seed] if run.reason]
        return Tally(
            planned=len(self.runs),
            finished=len(self.finished),
            affected=len(affected),
            reason=reasons[0] if reasons else "",
            epoch=slowest.epoch if slowest else 0,
            epochs=(slowest.epochs if slowest else 0) or self.variant.settings.epochs,
            unit=self.unit,
        )

    @property
    def whole(self) -> int:
        """How many seeds have finished, with all their folds."""
        return int(len(self.finished) == len(self.runs)) if self.unit == "fold" else len(self.finished)

    def named(self, which: Sequence[int]) -> str:
        """``seeds 0, 3``, or ``folds 0, 3``."""
        return named(which, self.unit)

    def fingerprints(self) -> list[str]:
        """Of all finished runs."""
        return [run.fingerprint for seed in self.finished for run in self.runs[seed]]

    def metrics(self) -> list[str]:
        """Names of all that finished runs measured, as they come."""
        return list(
            dict.fromkeys(n for s in self.finished for r in self.runs[s] for at in r.results.values() for n in at)
        )

    def values(self, metric: str, at: str) -> dict[int, float]:
        """The metric of every finished seed; empty where any of them lacks a finite one, as a mean of the rest would flatter."""
        return complete({seed: [r.results.get(at, {}).get(metric) for r in self.runs[seed]] for seed in self.finished})

    def facts(self, name: str) -> dict[int, float]:
        """A number of the record itself (``epoch``, ``seconds`` …) of every finished seed; empty where any lacks it."""
        return complete({seed: [getattr(run, name) for run in self.runs[seed]] for seed in self.finished})

    def measured(self, seed: int) -> list[dict[str, float]]:
        """All that the seed's runs measured at the epoch that they report, fold by fold, without what is only watched: two runs never take the same time."""
        watched = {name for choice in self.variant.settings.watch for name in getattr(choice.options, "names", ())}
        return [
            {name: value for name, value in run.results.get("selected", {}).items() if name not in watched}
            for run in self.runs[seed]
        ]

    def lacking(self, metric: str, at: str) -> list[int]:
        """Finished seeds without a finite value of the metric."""
        return [s for s in self.finished if not finite([r.results.get(at, {}).get(metric) for r in self.runs[s]])]

    def notes(self) -> list[str]:
        """What was recorded of the runs and why some did not finish, each sentence once, with its seeds where it is not true of all."""
        said: dict[str, list[int]] = {}
        for seed, runs in self.runs.items():
            for run in runs:
                sentences = once(run.notes)
                if run.status in ENDED_BADLY and run.reason:
                    sentences.append(f"{run.status.replace('_', ' ')}: {run.reason.strip().removesuffix('.')}")
                for sentence in sentences:
                    seeds = said.setdefault(" ".join(sentence.split()), [])
                    if seed not in seeds:
                        seeds.append(seed)
        return [
            text if len(seeds) == len(self.runs) else f"{text} ({self.named(seeds)})" for text, seeds in said.items()
        ]


def once(notes: Sequence[str]) -> list[str]:
    """Notes of a run, with one of a metric that is not finite where the row reports it, instead of one for each epoch that can be asked for."""
    selected = {
        f"{about}{NOT_FINITE}" for about, _, at in (n.partition(NOT_FINITE) for n in notes) if at == "selected epoch"
    }
    kept = []
    for note in notes:
        about, said, at = note.partition(NOT_FINITE)
        if about + said not in selected:
            kept.append(note)
        elif at == "selected epoch":
            kept.append(f"{about} is not finite")
    return kept


def finite(values: Iterable[float | None]) -> bool:
    """Whether all are numbers."""
    return all(value is not None and math.isfinite(value) for value in values)


def complete(folds: Mapping[int, Sequence[float | None]]) -> dict[int, float]:
    """The mean over folds for each seed; empty where any value is missing."""
    if not all(finite(values) for values in folds.values()):
        return {}
    return {seed: sum(v for v in values if v is not None) / len(values) for seed, values in folds.items()}


def named(seeds: Sequence[int], unit: Unit = "seed") -> str:
    """``seed 3``, ``seeds 0, 3``, or their number where there are many; the same for folds."""
    if len(seeds) > 10:
        return f"{len(seeds)} {unit}s"
    return f"{unit}{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
