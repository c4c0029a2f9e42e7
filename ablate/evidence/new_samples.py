"""The stored values of single samples, by variant and seed, and what they say about new samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablate.data.examples import Examples
from ablate.evidence.contrasts import contrast
from ablate.evidence.crossed import NewSamples, NoNewSamples, on_new_samples
from ablate.evidence.paired import Differences, Floats
from ablate.evidence.seeds import Seeds
from ablate.recipe.variant import Compare
from ablate.store.records import RunRecord, StudyRecord

Load = Callable[[str], Examples | None]
"""From a fingerprint to the values of a run's samples: `store.examples.load`."""

AGREES = 5e-3
"""By how much the mean over stored samples may differ from the recorded metric, relative to it: logs may be rounded."""

QUICK_RUNS, QUICK_VALUES = 200, 1_000_000
"""The most runs and values that are read for every table, in about a tenth of a second."""


class NoExamples(ValueError):
    """The values of single samples cannot be compared. One line without a full stop."""


@dataclass(frozen=True)
class ExamplesOfSeeds:
    """A metric of the same N samples for each seed of a variant, (N,). ``ids`` (N, 2) are each sample's fold (0 without
    folds) and position, in ascending order. ``weights`` (N,) are those in the mean; None: they are equal.
    """

    ids: NDArray[np.int64]
    values: Mapping[int, Floats]
    weights: Floats | None = None
    groups: NDArray[np.int64] | None = None


def read_examples(seeds: Seeds, metric: str, at: object, load: Load) -> ExamplesOfSeeds:
    """The stored values of a variant's finished seeds. Raises `NoExamples`."""
    name = seeds.variant.name
    runs = {seed: seeds.runs[seed] for seed in seeds.distinct}
    if seeds.unit == "fold":
        folds = [run for of in runs.values() for run in of]
        runs = {folds[0].seed: folds} if len(folds) == len(seeds.runs) else {}
    if not runs:
        raise NoExamples(f"variant (={name}) has no finished run")
    each = {seed: _of_seed([_of_run(name, run, metric, at, load) for run in of]) for seed, of in runs.items()}
    first = next(iter(each.values()))
    for seed, one in each.items():
        if not alike(first, one):
            raise NoExamples(f"seed {seed} of variant (={name}) was validated on other samples")
    return replace(first, values={seed: one.values[0] for seed, one in each.items()})


Arrays = tuple[NDArray[np.int64], Floats, Floats, NDArray[np.int64] | None]
"""Of the samples of a run: ids (N, 2), values and weights (N,) and groups (N,)."""


def _of_run(name: str, run: RunRecord, metric: str, at: object, load: Load) -> Arrays:
    """The values of one run, without the samples that do not count in its mean."""
    whose = f"seed {run.seed} of variant (={name})"
    epochs = {"selected": run.selected_epoch, "last": run.epoch, "best": run.best_epoch or run.epoch}
    if not isinstance(at, str) or epochs.get(at) != run.selected_epoch:
        raise NoExamples(f"{whose} has values of single samples at its selected epoch, but compare.at is {at}")
    found = load(run.fingerprint)
    if found is None or metric not in found.values:
        raise NoExamples(f"{whose} has no values of {metric} for single samples")
    values = found.values[metric].astype(np.float64)
    weights = found.weights.get(metric, np.ones(len(values))).astype(np.float64)
    counted = weights > 0
    mean = float(np.average(values, weights=weights)) if counted.any() else math.nan
    recorded = run.results.get(at, {}).get(metric, math.nan)
    if not math.isclose(mean, recorded, rel_tol=AGREES, abs_tol=1e-12):
        raise NoExamples(f"{whose} has values of single samples whose mean ({mean:.5g}) is not its {metric}")
    ids = np.stack([np.full(len(values), run.fold or 0), found.ids], axis=1)[counted]
    groups = None if found.groups is None else found.groups[counted]
    return ids, values[counted], weights[counted], groups


def _of_seed(folds: Sequence[Arrays]) -> ExamplesOfSeeds:
    """The values of one seed, under the number 0, from those of its folds, whose means count equally."""
    ids, values = (np.concatenate(parts) for parts in zip(*(fold[:2] for fold in folds), strict=True))
    weights = np.concatenate([fold[2] / fold[2].sum() for fold in folds])
    groups = [fold[3] for fold in folds if fold[3] is not None]
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    return ExamplesOfSeeds(
        ids[order],
        {0: values[order]},
        None if np.allclose(weights, weights[0], rtol=1e-6, atol=0.0) else weights[order],
        np.concatenate(groups)[order] if len(groups) == len(folds) else None,
    )


def alike(one: ExamplesOfSeeds, other: ExamplesOfSeeds) -> bool:
    """Whether both are of the same samples with the same weights."""
    same = np.array_equal(one.ids, other.ids)
    if one.weights is None or other.weights is None:
        return same and one.weights is other.weights
    return same and np.allclose(one.weights, other.weights, rtol=1e-6, atol=0.0)


def chooses_epoch(seeds: Seeds, at: object) -> bool:
    """Whether the epoch of a variant was chosen by its results on the validation samples."""
    settings = seeds.variant.settings
    stops = [choice for choice in settings.tricks if choice.name == "early_stop"]
    if at != "best" and settings.select != "best" and not stops:
        return False
    monitors = [getattr(choice.options, "monitor", None) or settings.monitor for choice in stops]
    return any(not one.metric.startswith("train_") for one in (*monitors, settings.monitor))


def compared(row: Seeds, reference: Seeds, compare: Compare, load: Load) -> tuple[Differences, ExamplesOfSeeds]:
    """The differences of a variant from another one by seed and sample, (n, N), and the samples.

    Raises `NoExamples`.
    """
    made = contrast(row, reference, compare)
    names = f"{row.variant.name} and {reference.variant.name}"
    if made.sample is None or not made.comparable or compare.log:
        raise NoExamples(f"variants {names} cannot be compared by {compare.metric}")
    mine, theirs = (read_examples(side, compare.metric, compare.at, load) for side in (row, reference))
    if not alike(mine, theirs):
        raise NoExamples(f"variants {names} were validated on different samples")
    common = [seed for seed in mine.values if seed in theirs.values]
    return np.stack([mine.values[seed] - theirs.values[seed] for seed in common]), mine


class OnNewSamples(NoNewSamples):
    """The differences from parents on new samples, each computed when it is asked for."""

    def __init__(self, known: Mapping[str, Seeds], compare: Compare, load: Load) -> None:
        self.known, self.compare, self.load = known, compare, load
        self._found: dict[str, NewSamples | None] = {}

    def __call__(self, variant: str) -> NewSamples | None:
        if variant not in self._found:
            self._found[variant] = self._compared(variant)
        return self._found[variant]

    def _compared(self, variant: str) -> NewSamples | None:
        row = self.known.get(variant)
        parent = None if row is None else self.known.get(row.variant.parent or "")
        if row is None or parent is None:
            return None
        try:
            differences, samples = compared(row, parent, self.compare, self.load)
        except NoExamples:
            return None
        chosen = any(chooses_epoch(side, self.compare.at) for side in (row, parent))
        return on_new_samples(differences, samples.weights, samples.groups, chosen=chosen)

    def is_quick(self) -> bool:
        runs = [run for seeds in self.known.values() for seed in seeds.finished for run in seeds.runs[seed]]
        if not 0 < len(runs) <= QUICK_RUNS:
            return False
        first = self.load(runs[0].fingerprint)
        return first is not None and len(runs) * len(first.ids) <= QUICK_VALUES


def of_study(study: StudyRecord, load: Load) -> dict[str, NewSamples]:
    """The differences of a study's variants from their parents on new samples, as far as they are known."""
    known = {record.variant.name: Seeds(record, rounded=study.rounded) for record in (*study.family, *study.rows)}
    source = OnNewSamples(known, study.recipe.compare, load)
    if not source.is_quick():
        return {}
    return {name: found for name in known if (found := source(name)) is not None}
