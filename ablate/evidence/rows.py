"""The table as numbers: one row per variant, at full precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ablate.evidence.contrasts import UNDER_WAY, Finding, contrast, examine
from ablate.evidence.origins import mixtures
from ablate.evidence.paired import Estimator, own_spreads
from ablate.evidence.seeds import Seeds, Tally, named
from ablate.evidence.verdicts import Verdict
from ablate.recipe.recipe import Compare
from ablate.study.records import Status, StudyRecord

LOSSES = ("train_loss", "train_loss_clean", "valid_loss")
"""Measured of every run; all else that runs measure is a metric."""


@dataclass(frozen=True)
class Row:
    """One variant over its finished seeds. None is what is not known.

    ``seeds`` counts the finished ones; losses and metrics are means over them, ``_sd`` their standard deviation (ddof 1, from two seeds on).
    ``epochs`` (as trained, early stops counted) and ``best_epoch`` are whole where all seeds agree, else their mean; before any seed has finished,
    ``epochs`` is what the settings say. ``seconds`` and ``device_seconds`` are per seed. ``delta_parent`` (with its interval, adjusted p-value and verdict)
    and ``delta_baseline`` are mean paired differences, this row minus the other. ``metrics`` holds name → mean and ``<name>_sd`` → standard deviation.
    """

    variant: str
    parent: str | None = None
    description: str = ""
    changes: tuple[str, ...] = ()
    status: Status = "queued"
    seeds: int = 0
    epochs: float | None = None
    best_epoch: float | None = None
    train_loss: float | None = None
    train_loss_sd: float | None = None
    train_loss_clean: float | None = None
    valid_loss: float | None = None
    valid_loss_sd: float | None = None
    delta_parent: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_adjusted: float | None = None
    verdict: Verdict | None = None
    delta_baseline: float | None = None
    seconds: float | None = None
    device_seconds: float | None = None
    parameters: int | None = None
    published: Mapping[str, float] | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)

    @property
    def partial(self) -> bool:
        """Whether there are means, but not over all the seeds that were asked for."""
        return 0 < self.seeds < self.tally.planned and self.status != "diverged"

    def value(self, name: str) -> float | None:
        """A loss or a metric by name."""
        found: float | None = getattr(self, name) if name in LOSSES else self.metrics.get(name)
        return found

    def sd(self, name: str) -> float | None:
        """The standard deviation of a loss or a metric over the seeds."""
        if name in LOSSES:
            found: float | None = getattr(self, f"{name}_sd", None)
            return found
        return self.metrics.get(f"{name}_sd")

    def dump(self) -> dict[str, Any]:
        """The row in plain JSON values: stable keys, full precision, None for what is not known; metrics follow under their own names.

        A metric that is called like one of the row's own keys appears as ``metric_<name>``.
        """
        keys = [name for name in self.__dataclass_fields__ if name not in ("metrics", "notes", "tally")]
        tree = {("from" if key == "parent" else key): getattr(self, key) for key in keys}
        tree |= {"changes": list(self.changes), "published": dict(self.published) if self.published else None}
        return tree | {(f"metric_{name}" if name in tree else name): value for name, value in self.metrics.items()}


@dataclass(frozen=True)
class Table:
    """A study's rows, in the recipe's order. ``metrics`` names what was measured beside the losses."""

    study: str
    compare: Compare
    rows: tuple[Row, ...]
    metrics: tuple[str, ...] = ()
    description: str = ""

    @property
    def planned(self) -> int:
        """The largest number of seeds that any row was asked for."""
        return max((row.tally.planned for row in self.rows), default=0)

    def dump(self) -> dict[str, Any]:
        """The table in plain JSON values: ``study``, ``compare`` and ``rows``."""
        compare = {"metric": self.compare.metric, "better": self.compare.better, "at": self.compare.at}
        return {"study": self.study, "compare": compare, "rows": [row.dump() for row in self.rows]}


def gather(
    study: StudyRecord,
    estimate: Estimator = own_spreads,
    provenance: Callable[[str], Mapping[str, Any]] | None = None,
) -> Table:
    """The evidence that a study's runs give.

    ``estimate`` says how much each comparison scatters; ``provenance`` gives a fingerprint's (`Store.provenance`), so that a row that mixes versions says so.
    """
    compare = study.recipe.compare
    known = {record.variant.name: Seeds(record) for record in study.rows}
    metrics = metric_names(study, known)
    baseline = next((name for name, seeds in known.items() if seeds.variant.parent is None), None)

    def findings(reference: Mapping[str, str | None], relation: str) -> dict[str, Finding]:
        pairs = {
            name: contrast(seeds, known[other], relation, compare.metric, compare.at)
            for name, seeds in known.items()
            if (other := reference[name]) in known and other is not None
        }
        return examine(pairs, compare.better, estimate)

    to_parent = findings({name: seeds.variant.parent for name, seeds in known.items()}, "parent")
    to_baseline = findings({name: baseline if name != baseline else None for name in known}, "baseline")
    rows = [
        compared(describe(seeds, metrics, compare, provenance), to_parent.get(name), to_baseline.get(name), known)
        for name, seeds in known.items()
    ]
    return Table(study.recipe.study, compare, tuple(rows), metrics, study.recipe.description)


def metric_names(study: StudyRecord, known: Mapping[str, Seeds]) -> tuple[str, ...]:
    """The recipe's metrics first, in its order, then whatever else runs measured."""
    asked = [choice.label for record in study.rows for choice in record.variant.settings.metrics]
    measured = [name for seeds in known.values() for name in seeds.metrics()]
    return tuple(name for name in dict.fromkeys(asked + measured) if name not in LOSSES)


def describe(
    seeds: Seeds,
    metrics: tuple[str, ...],
    compare: Compare,
    provenance: Callable[[str], Mapping[str, Any]] | None = None,
) -> Row:
    """A row without its comparisons."""
    variant = seeds.variant
    notes = seeds.notes()
    if provenance is not None:
        notes += mixtures(provenance(run.fingerprint) for seed in seeds.finished for run in seeds.runs[seed])
    numbers: dict[str, float | None] = {}
    for name in (*LOSSES, *metrics):
        # The loss columns show what the row reports; a compared metric is shown as it is compared.
        at = compare.at if name == compare.metric and name not in LOSSES else "selected"
        values = list(seeds.values(name, at).values()) if seeds.status != "diverged" else []
        numbers[name] = float(np.mean(values)) if values else None
        numbers[f"{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        lacking = seeds.lacking(name, at)
        if lacking and (name == compare.metric or len(lacking) < len(seeds.finished)):
            notes.append(f"{name} is not known for {named(lacking)}")
    if len(seeds.finished) > 1 and all(seeds.measured(s) == seeds.measured(seeds.finished[0]) for s in seeds.finished):
        notes.append("all seeds gave the same result: they are not repeats")
    trained = {seed: max(int(n), 0) for seed, n in seeds.facts("epoch").items()}
    return Row(
        variant=variant.name,
        parent=variant.parent,
        description=variant.description,
        changes=tuple(str(change) for change in variant.changes),
        status=seeds.status,
        seeds=len(seeds.finished),
        epochs=agreed(trained) if trained and all(trained.values()) else variant.settings.epochs,
        best_epoch=agreed(seeds.facts("best_epoch")),
        train_loss=numbers["train_loss"],
        train_loss_sd=numbers["train_loss_sd"],
        train_loss_clean=numbers["train_loss_clean"],
        valid_loss=numbers["valid_loss"],
        valid_loss_sd=numbers["valid_loss_sd"],
        seconds=mean(seeds.facts("seconds")),
        device_seconds=mean(seeds.facts("device_seconds")),
        parameters=next((r.parameters for runs in seeds.runs.values() for r in runs if r.parameters is not None), None),
        published=dict(variant.published) or None,
        metrics={key: numbers[key] for name in metrics for key in (name, f"{name}_sd")},
        notes=tuple(notes),
        tally=seeds.tally(),
    )


def compared(row: Row, to_parent: Finding | None, to_baseline: Finding | None, known: Mapping[str, Seeds]) -> Row:
    """The row with what its comparisons found."""
    notes = list(row.notes)
    if row.parent is not None and row.parent not in known:
        notes.append(f"its parent ({row.parent}) is not among the rows")
    if row.status == "diverged":
        return replace(row, verdict="unstable", notes=tuple(notes))
    if to_parent is not None:
        notes += to_parent.notes
        if to_parent.effect is not None:
            found = to_parent.effect
            row = replace(row, delta_parent=found.delta, ci_low=found.low, ci_high=found.high)
            row = replace(row, p_adjusted=to_parent.p_adjusted, verdict=to_parent.verdict)
    if to_baseline is not None and to_baseline.effect is not None:
        row = replace(row, delta_baseline=to_baseline.effect.delta)
    if row.seeds and row.status in UNDER_WAY:
        notes.append(f"{row.seeds} of {row.tally.planned} seeds so far: no verdict yet")
    return replace(row, notes=tuple(notes))


def mean(values: Mapping[int, float]) -> float | None:
    """The mean over seeds, None of none."""
    return float(np.mean(list(values.values()))) if values else None


def agreed(values: Mapping[int, float]) -> float | None:
    """The whole number that all seeds agree on, else their mean."""
    distinct = set(values.values())
    if len(distinct) == 1 and (only := distinct.pop()) == int(only):
        return int(only)
    return mean(values)
