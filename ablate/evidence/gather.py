"""From the runs of a study to its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from ablate.evidence.confounds import (
    Origins,
    different_origins,
    different_samples,
    different_settings,
    different_steps,
    judged,
    mixtures,
    same_weights,
    unpaired_init,
    unpaired_start,
)
from ablate.evidence.contrasts import UNDER_WAY, Finding, contrast, examine
from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.inert_changes import inert
from ablate.evidence.interactions import with_interactions
from ablate.evidence.looks import look
from ablate.evidence.new_samples import Load, OnNewSamples
from ablate.evidence.paired import FLAT, Estimator, average, deviation, unit_of
from ablate.evidence.seeds import Curves, Seeds, Source, reaching
from ablate.evidence.table import Family, Row, Table
from ablate.evidence.variance_pooling import shared_spreads
from ablate.notes.note import Note
from ablate.recipe.measured import LOSSES, metrics_of
from ablate.recipe.own_training import own_training
from ablate.recipe.variant import Compare, Variant
from ablate.store.examples import load as load_examples
from ablate.store.places import Axis, axis_of
from ablate.store.records import StudyRecord
from ablate.store.store import Store

__all__ = ["Row", "Table", "gather", "table_of"]


def gather(
    study: StudyRecord,
    estimate: Estimator = shared_spreads,
    provenances: Source | None = None,
    curves: Curves | None = None,
    examples: Load | None = None,
) -> Table:
    """The table of a study.

    Variants of the recipe that are not shown lend their variances and count in the correction of p-values.
    ``estimate`` estimates the variance of each comparison. With ``provenances``, rows note versions and devices that
    are mixed or differ from the parent's. ``curves`` are read for the recipe's ``reach``, and where results of
    seeds are equal; ``examples`` where differences on new samples are asked for.
    """
    compare = study.recipe.compare
    records = {record.variant.name: record for record in (*study.family, *study.rows)}
    known = {name: Seeds(record, curves, rounded=study.rounded) for name, record in records.items()}
    shown = {record.variant.name: known[record.variant.name] for record in study.rows}
    metrics = metric_names(study, shown)
    baseline = next((name for name, seeds in known.items() if seeds.variant.parent is None), None)

    @cache
    def origins(name: str) -> Origins:
        return Origins.of(known[name].origins(provenances) if provenances is not None else ())

    def findings(reference: Mapping[str, str | None], planned: int = 0) -> dict[str, Finding]:
        pairs = {
            name: contrast(seeds, known[other], compare.metric, compare.at)
            for name, seeds in known.items()
            if (other := reference[name]) in known and other is not None
        }
        return examine(pairs, compare.better, compare.smallest_effect, estimate, planned)

    planned = comparisons([seeds.variant for seeds in known.values()], compare.metric)
    parents = {name: seeds.variant.parent for name, seeds in known.items()}
    baselines = {name: baseline if name != baseline else None for name in known}
    to_parent = findings(parents, planned)
    to_baseline = to_parent if baselines == parents else findings(baselines)
    axis = axis_of([run for record in study.rows for run in record.runs])
    rows = []
    for name, seeds in shown.items():
        row = describe(seeds, metrics, compare, mixtures(origins(name)), axis)
        if curves is not None:
            marks = [reaching(seeds, mark, curves, provenances, axis) for mark in study.recipe.reach]
            row = replace(row, reached={key: value for mark in marks for key, value in mark.items()})
        row = beside_parent(row, seeds, known, to_parent.get(name), compare, origins)
        rows.append(beside_baseline(row, to_baseline.get(name), compare))
    rows, interactions = with_interactions(rows, known, compare)
    pooled = any(one.effect and one.effect.spread and one.effect.spread.pooled for one in to_parent.values())
    return Table(
        study.recipe.study,
        compare,
        tuple(rows),
        metrics,
        study.recipe.description,
        study.recipe.reach,
        tuple(recipe_metrics(study)),
        Family(planned, interactions, pooled),
        axis,
        NoNewSamples() if examples is None else OnNewSamples(known, compare, examples),
    )


def comparisons(variants: Sequence[Variant], metric: str) -> int:
    """The number of comparisons with a parent that are planned: those that settings allow to be judged on the metric.

    A variant that does not compute the metric, although others do, only serves as a base for others.
    """
    known = {variant.name: variant for variant in variants}
    measured = {name for name, variant in known.items() if metric in metrics_of(variant.settings)} or known.keys()
    return sum(
        judged(one, parent, metric)
        for one in variants
        if (parent := known.get(one.parent or "")) is not None and {one.name, parent.name} <= measured
    )


def recipe_metrics(study: StudyRecord) -> list[str]:
    """The metrics that the recipe asks for, in its order."""
    return list(dict.fromkeys(choice.label for one in study.rows for choice in one.variant.settings.metrics))


def metric_names(study: StudyRecord, known: Mapping[str, Seeds]) -> tuple[str, ...]:
    """The recipe's metrics first, in its order, then any other that was measured."""
    measured = [name for seeds in known.values() for name in seeds.metrics()]
    return tuple(name for name in dict.fromkeys(recipe_metrics(study) + measured) if name not in LOSSES)


def describe(
    seeds: Seeds,
    metrics: tuple[str, ...],
    compare: Compare,
    mixed: Sequence[Note] = (),
    axis: Axis = "epoch",
) -> Row:
    """A row without its comparisons."""
    variant = seeds.variant
    notes = [*seeds.notes(), *mixed]
    numbers: dict[str, float | None] = {}
    own = own_training(variant.settings.trainer) is not None
    for name in (*LOSSES, *metrics):
        # The loss columns show what the row reports; a compared metric is shown as it is compared.
        at = compare.at if name == compare.metric and name not in LOSSES else "selected"
        values = list(seeds.values(name, at).values()) if seeds.status != "diverged" else []
        numbers[name] = average(values) if values else None
        numbers[f"{name}_sd"] = deviation(values) if len(values) > 1 else None
        lacking = seeds.lacking(name, at)
        noted = any(note.kind == "not_finite" and note.values["metric"] == name for note in notes)
        if lacking and name == compare.metric and name not in metrics_of(variant.settings):
            notes.append(Note("not_measured", values={"metric": name}))
        elif lacking and name == compare.metric and own and len(lacking) == len(seeds.finished):
            notes.append(Note("not_reported", values={"metric": name}))
        elif (
            lacking and not noted and "/" not in name and (name == compare.metric or len(lacking) < len(seeds.finished))
        ):
            notes.append(Note("missing_values", seeds=tuple(lacking), values={"metric": name}))
    notes += [Note("same_result", seeds=seeds.some(group)) for group in seeds.identical]
    trained = seeds.places("last", axis)
    return Row(
        variant=variant.name,
        parent=variant.parent,
        description=variant.description,
        changes=tuple(str(change) for change in variant.changes),
        status=seeds.status,
        seeds=seeds.whole,
        folds=seeds.folds,
        epochs=None
        if variant.settings.joined
        else agreed(trained)
        if trained and all(trained.values())
        else variant.settings.epochs or None,
        best_epoch=agreed(seeds.places("best", axis)),
        train_loss=numbers["train_loss"],
        train_loss_sd=numbers["train_loss_sd"],
        train_loss_clean=numbers["train_loss_clean"],
        train_loss_clean_sd=numbers["train_loss_clean_sd"],
        valid_loss=numbers["valid_loss"],
        valid_loss_sd=numbers["valid_loss_sd"],
        seconds=mean(seeds.facts("seconds")),
        device_seconds=mean(seeds.facts("device_seconds")),
        parameters=next((r.parameters for runs in seeds.runs.values() for r in runs if r.parameters is not None), None),
        steps=mean(seeds.facts("steps") or seeds.places("last", "step")),
        peak_memory=max(seeds.facts("peak_memory").values(), default=None),
        published=dict(variant.published) or None,
        metrics={key: numbers[key] for name in metrics for key in (name, f"{name}_sd")},
        notes=tuple(notes),
        tally=seeds.tally(),
        compared_last=mean(seeds.values(compare.metric, "last")) if seeds.status != "diverged" else None,
        compared_best=mean(seeds.values(compare.metric, "best")) if seeds.status != "diverged" else None,
    )


def beside_parent(
    row: Row,
    seeds: Seeds,
    known: Mapping[str, Seeds],
    finding: Finding | None,
    compare: Compare,
    origins: Callable[[str], Origins],
) -> Row:
    """The row with the comparison with its parent."""
    notes = list(row.notes)
    if row.parent is not None and row.parent not in known:
        notes.append(Note("parent_missing", values={"parent": row.parent}))
    if row.status == "diverged":
        return replace(row, verdict="unstable", notes=tuple(notes))
    if finding is not None:
        notes += finding.notes
    if finding is not None and finding.effect is not None and row.parent is not None:
        found, judgement, parent = finding.effect, finding.judgement, known[row.parent]
        common = [seed for seed in seeds.finished if seed in parent.finished]
        alike = all(same_weights(seeds.runs[seed], parent.runs[seed]) for seed in common)
        if unpaired_init(seeds.variant, parent.variant) and not alike:
            notes.append(Note("init_not_paired"))
        apart = [seed for seed in common if unpaired_start(seeds.runs[seed], parent.runs[seed])]
        if apart and own_training(seeds.variant.settings.trainer) is not None:
            notes.append(Note("start_not_paired", seeds=() if len(apart) == len(common) else tuple(apart)))
        if inert(seeds, parent) and not any(note.kind == "identical" and not note.seeds for note in notes):
            notes.append(Note("no_effect_at_first", values={"parent": row.parent}))
        unlike = different_settings(seeds.variant, parent.variant)
        sources = origins(row.variant), origins(row.parent)
        counted = different_samples(*sources) if not seeds.variant.settings.joined else []
        if not counted and seeds.variant.settings.batch_size == parent.variant.settings.batch_size:
            unlike += different_steps(
                *((run for runs in side.runs.values() for run in runs) for side in (seeds, parent))
            )
        unlike += counted + different_origins(*sources)
        row = replace(
            row,
            delta_parent=found.delta,
            ci_low=found.low,
            ci_high=found.high,
            p=found.p if judgement.p_adjusted is not None else None,
            p_adjusted=judgement.p_adjusted,
            verdict=judgement.verdict,
            more_seeds=judgement.more_seeds,
            effect_size=effect_size(found.delta, *(s.values(compare.metric, compare.at) for s in (seeds, parent))),
            unlike=tuple(unlike),
        )
    if row.finished and row.status in UNDER_WAY:
        notes.append(Note("unfinished", values={"finished": row.finished, "planned": row.tally.planned}))
    return replace(row, notes=tuple(notes))


def beside_baseline(row: Row, finding: Finding | None, compare: Compare) -> Row:
    """The row with its difference to the baseline."""
    if row.status == "diverged" or finding is None or finding.effect is None:
        return row
    found = finding.effect
    gain = -found.delta if compare.better == "lower" else found.delta
    per_minute = gain / (row.seconds / 60) if row.seconds else math.inf
    return replace(
        row,
        delta_baseline=found.delta,
        baseline_ci_low=found.low,
        baseline_ci_high=found.high,
        gain_per_minute=per_minute if math.isfinite(per_minute) else None,
    )


def effect_size(delta: float, row: Mapping[int, float], parent: Mapping[int, float]) -> float | None:
    """A difference in standard deviations over seeds: Hedges' g (1981) with the mean variance of the two variants. None
    if that is 0.
    """
    unit = unit_of([*row.values(), *parent.values()])
    sides = [[value / unit for value in values.values()] for values in (row, parent)]
    if min(map(len, sides)) < 2:
        return None
    sd = float(np.sqrt(np.mean([np.var(values, ddof=1) for values in sides])))
    degrees = sum(map(len, sides)) - 2
    # Rounding alone gives equal numbers a small standard deviation.
    if sd <= FLAT * max(abs(value) for values in sides for value in values):
        return None
    return delta / unit / sd * (1 - 3 / (4 * degrees - 1))


def mean(values: Mapping[int, float]) -> float | None:
    """The mean over seeds, or None."""
    return average(list(values.values())) if values else None


def agreed(values: Mapping[int, float]) -> float | None:
    """The integer that all seeds share, else their mean."""
    distinct = set(values.values())
    if len(distinct) == 1 and (only := distinct.pop()) == int(only):
        return int(only)
    return mean(values)


def table_of(study: StudyRecord, store: Store) -> Table:
    """The evidence of a study, with the origins and curves of its runs. Records that its verdicts were looked at."""
    load = partial(load_examples, store)
    return look(gather(study, provenances=store.provenances, curves=store.metrics, examples=load), study, store)
