"""From the runs of a study to its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial

import numpy as np

from ablate.evidence.best import with_best
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
from ablate.evidence.earlier_studies import earlier_scatter
from ablate.evidence.factorial import trick_table
from ablate.evidence.inert_changes import inert
from ablate.evidence.interactions import with_interactions
from ablate.evidence.looks import (
    changed_since,
    family_key,
    frozen,
    histories,
    look_lines,
    top_ups,
    verdict_lines,
    with_pending,
)
from ablate.evidence.new_samples import Load, OnNewSamples
from ablate.evidence.paired import FLAT, LEVEL, Estimator, average, deviation, unit_of
from ablate.evidence.pairing import pairing_factor
from ablate.evidence.seeds import Curves, Seeds, Source, reaching
from ablate.evidence.sequential import Standing, contrasts_of, finished_with, follow
from ablate.evidence.table import Family, Row, Table
from ablate.evidence.tuned import with_search
from ablate.evidence.variance_pooling import beside, shared_spreads
from ablate.notes.note import Note
from ablate.recipe.looks import Looks
from ablate.recipe.measured import LOSSES, metrics_of
from ablate.recipe.own_training import own_training
from ablate.recipe.variant import Compare, MeanOfLast, Variant
from ablate.store.checked import EarlierScatter, Look
from ablate.store.disk import DiskError
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
    earlier: Sequence[Look] = (),
    examples: Load | None = None,
) -> Table:
    """The table of a study.

    Variants of the recipe that are not shown lend their variances and count in the correction of p-values. ``estimate``
    estimates the variance of each comparison. ``earlier`` are the verdicts that were shown before. With
    ``provenances``, rows note versions and devices that are mixed or differ from the parent's. ``curves`` are read for
    the recipe's ``reach``, and where results of seeds are equal; ``examples`` where differences on new
    samples are asked for.
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

    parents = {name: seeds.variant.parent for name, seeds in known.items()}
    pairs = compared([seeds.variant for seeds in known.values()], compare.metric)
    key, looks = family_key(compare, pairs, study.recipe.looks), study.recipe.looks
    past = {name: with_pending(one, known[name]) for name, one in histories(known, compare, earlier).items()}
    standings: dict[str, Standing] = {}
    if looks is not None:
        past = {}
        shown_p = frozen(known, compare, earlier, key)
        read = contrasts_of(known, compare)
        standings = follow(pairs, compare, looks, study.recipe.seeds, read, estimate=estimate, frozen=shown_p)

    def findings(reference: Mapping[str, str | None], planned: int = 0) -> dict[str, Finding]:
        """With ``planned`` comparisons, verdicts that were shown stand: they are on the seeds of then."""
        first = {name: one.first for name, one in past.items()} if planned else {}
        contrasts = {
            name: contrast(seeds, known[other], compare, first.get(name) or None)
            for name, seeds in known.items()
            if (other := reference[name]) in known and other is not None
        }
        wide = level if planned else LEVEL
        return examine(contrasts, compare.better, compare.margin, estimate, planned, wide)

    level = LEVEL if looks is None else LEVEL * looks.weights[0]
    planned = len(pairs)
    baselines = {name: baseline if name != baseline else None for name in known}
    to_parent = findings(parents, planned)
    same = baselines == parents and looks is None and not any(one.first for one in past.values())
    to_baseline = to_parent if same else findings(baselines)
    to_parent |= {name: found for name, one in standings.items() if (found := finished_with(one, planned))}
    added = top_ups(known, parents, compare, past, planned)
    axis = axis_of([run for record in study.rows for run in record.runs])
    rows = []
    for name, seeds in shown.items():
        row = replace(describe(seeds, metrics, compare, mixtures(origins(name)), axis), level=level)
        if curves is not None:
            marks = [reaching(seeds, mark, curves, provenances, axis) for mark in study.recipe.reach]
            row = replace(row, reached={key: value for mark in marks for key, value in mark.items()})
        row = beside_parent(row, seeds, known, to_parent.get(name), compare, origins)
        if name in standings and looks is not None:
            row = at_look(row, standings[name], looks, study.recipe.seeds)
        elif past and past[name].all and row.p_adjusted is not None and past[name].added:
            over_all = contrast(seeds, known[row.parent or ""], compare).sample
            row = replace(
                row,
                judged_seeds=past[name].first,
                top_ups=added.get(name, ()),
                delta_all=None if over_all is None else average(over_all.tolist()),
            )
        row = replace(row, notes=(*row.notes, *seed_notes(row, log=compare.log)))
        row = with_search(row, records[name], records.get(row.parent or ""))
        rows.append(beside_baseline(row, to_baseline.get(name), compare))
    rows, interactions = with_interactions(rows, known, compare)
    if looks is not None:  # repeated looks at interactions are not corrected for
        rows = [replace(row, interaction_p=None) for row in rows]
    rows = with_best(rows, known, compare, estimate)
    pooled = any(one.effect and one.effect.spread and one.effect.spread.pooled for one in to_parent.values())
    table = Table(
        study.recipe.study,
        compare,
        tuple(rows),
        metrics,
        study.recipe.description,
        study.recipe.reach,
        tuple(recipe_metrics(study)),
        Family(
            planned,
            interactions,
            pooled,
            looks,
            key,
            changed_since(earlier, compare, key),
            pairing_factor(known, compare),
        ),
        axis,
        tricks=trick_table(study.recipe, known),
        new_samples=NoNewSamples() if examples is None else OnNewSamples(known, compare, examples),
    )
    looked = (
        verdict_lines(table, known, earlier)
        if looks is None
        else look_lines(standings, known, looks, study.recipe, key, earlier)
    )
    return replace(table, looked=tuple(looked))


def seed_notes(row: Row, *, log: bool = False) -> list[Note]:
    """Which seeds the verdict is on, if it is not on all of them, and the results of the others."""
    if row.judged_seeds is None:
        return []
    scale = ["log"] if log else []
    notes = [Note("first_seeds", values={"before": len(row.judged_seeds), "now": row.finished})]
    for one in row.top_ups:
        effect = [one.delta, one.low, one.high, *scale]
        values = {"count": len(one.seeds), "effect": effect, "cover": 100 * (1 - one.level)}
        notes.append(Note("topped_up", values={**values, "verdict": one.verdict or "no verdict"}))
    if row.delta_all is not None:
        notes.append(Note("over_all", values={"now": row.finished, "effect": [row.delta_all, None, None, *scale]}))
    return notes


def at_look(row: Row, standing: Standing, looks: Looks, seeds: Sequence[int]) -> Row:
    """The row with the look that its difference from the parent is from."""
    if not standing.shown_at or row.delta_parent is None:
        return row
    place = standing.shown_at - 1
    used = tuple(seeds[: looks.at[place]])
    return replace(
        row,
        p=standing.p.get(standing.shown_at),
        look=standing.shown_at,
        level=LEVEL * looks.weights[place],
        judged_seeds=used if row.finished > len(used) else None,
    )


def compared(variants: Sequence[Variant], metric: str) -> dict[str, str]:
    """The comparisons with a parent that are planned, from variant to parent: those that settings allow to be judged on
    the metric.

    A variant that does not compute the metric, although others do, only serves as a base for others.
    """
    known = {variant.name: variant for variant in variants}
    measured = {name for name, variant in known.items() if metric in metrics_of(variant.settings)} or known.keys()
    return {
        one.name: parent.name
        for one in variants
        if (parent := known.get(one.parent or "")) is not None
        and {one.name, parent.name} <= measured
        and judged(one, parent, metric)
    }


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
    failures, lost = seeds.failures(compare), seeds.status == "diverged"
    for name in (*LOSSES, *metrics):
        # The loss columns show what the row reports; a compared metric is shown as it is compared.
        shown = name == compare.metric and (name not in LOSSES or isinstance(compare.at, MeanOfLast))
        at = compare.at if shown else "selected"
        without = lost or (failures and name == compare.metric)
        values = list(seeds.values(name, at).values()) if not without else []
        numbers[name] = average(values) if values else None
        numbers[f"{name}_sd"] = deviation(values) if len(values) > 1 else None
        lacking, short = seeds.lacking(name, at), seeds.too_short(name, at)
        noted = any(note.kind == "not_finite" and note.values["metric"] == name for note in notes)
        if lacking and name == compare.metric and name not in metrics_of(variant.settings):
            notes.append(Note("not_measured", values={"metric": name}))
        elif short and isinstance(at, MeanOfLast) and seeds.values(name, "selected"):
            notes.append(Note("short_curve", seeds=seeds.some(short), values={"metric": name, "count": at.count}))
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
        compared_last=None if failures or lost else mean(seeds.values(compare.metric, "last")),
        compared_best=None if failures or lost else mean(seeds.values(compare.metric, "best")),
        failed=None if compare.failed is None else len(failures),
        median=seeds.middle(compare) if failures else None,
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
    if row.failed:
        return replace(row, notes=tuple(notes))
    if row.status == "diverged":
        return replace(row, verdict="unstable", notes=tuple(notes))
    if row.parent is not None and row.parent in known and (lost := known[row.parent].failures(compare)):
        # also where an earlier look, before the failure, had a result
        finding = Finding(notes=(Note("parent_failed", seeds=known[row.parent].some(lost)),))
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
        averaged = isinstance(compare.at, MeanOfLast)
        unlike = different_settings(seeds.variant, parent.variant, averaged=averaged)
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
            detectable=judgement.detectable,
            detectable_seeds=judgement.detectable_seeds,
            effect_size=effect_size(found.delta, *(s.compared(compare) for s in (seeds, parent))),
            unlike=tuple(unlike),
            delta_percent=percent(found.delta, seeds, parent, compare),
        )
    if row.finished and row.status in UNDER_WAY:
        notes.append(Note("unfinished", values={"finished": row.finished, "planned": row.tally.planned}))
    return replace(row, notes=tuple(notes))


def beside_baseline(row: Row, finding: Finding | None, compare: Compare) -> Row:
    """The row with its difference to the baseline."""
    if row.status == "diverged" or row.failed or finding is None or finding.effect is None:
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


def percent(delta: float, seeds: Seeds, parent: Seeds, compare: Compare) -> float | None:
    """A difference in percent of the size of the parent's mean over the common seeds; None if that is 0. On the log
    scale, the ratio of geometric means as a difference in percent.
    """
    if compare.log:
        return 100 * math.expm1(delta) if delta < 700 else None  # exp(710) is no number
    mine = seeds.values(compare.metric, compare.at)
    theirs = [value for seed, value in parent.values(compare.metric, compare.at).items() if seed in mine]
    found = 100 * delta / abs(size) if theirs and (size := average(theirs)) else math.nan
    return found if math.isfinite(found) else None


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
    """The evidence of a study, with the origins and curves of its runs, and the scatter of earlier studies. Records
    that its verdicts were looked at.
    """
    load = partial(load_examples, store)
    recipe, looks = study.recipe, store.looks(study.recipe.study)
    family = study.family or study.rows

    def table(scatter: tuple[EarlierScatter, ...]) -> Table:
        found = gather(study, beside(scatter), store.provenances, store.metrics, looks, load)
        return replace(found, prior=scatter if found.family.pooled else ())

    found = table(earlier_scatter(recipe, family, store, looks, showing=False))
    if found.looked:
        if not found.prior and (scatter := earlier_scatter(recipe, family, store, looks, showing=True)):
            found = table(scatter)
        with suppress(DiskError):  # a store that is only read
            store.add_looks(recipe.study, found.looked)
    return found
