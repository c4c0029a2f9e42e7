"""From the runs of a study to its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial

from ablate.evidence.best import with_best
from ablate.evidence.confounds import (
    Origins,
    judged,
    mixtures,
    thread_notes,
)
from ablate.evidence.contrasts import Contrast, Finding, contrast, counted, examine
from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.diagnosis import Diagnosis, NoDiagnosis
from ablate.evidence.earlier_studies import earlier_scatter
from ablate.evidence.factorial import trick_table
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
from ablate.evidence.paired import LEVEL, Estimator, average
from ablate.evidence.pairing import pairing_factor
from ablate.evidence.rows import at_look, beside_baseline, beside_parent, describe, seed_notes
from ablate.evidence.seeds import Curves, Seeds, Source, reaching
from ablate.evidence.sequential import Standing, contrasts_of, finished_with, follow
from ablate.evidence.table import Family, Row, Table
from ablate.evidence.tuned import path_of, with_search
from ablate.evidence.variance_pooling import beside, shared_spreads
from ablate.recipe.measured import LOSSES, metrics_of
from ablate.recipe.variant import Variant
from ablate.store.checked import EarlierScatter, Look
from ablate.store.disk import DiskError
from ablate.store.examples import load as load_examples
from ablate.store.places import axis_of
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

    def differences(reference: Mapping[str, str | None], *, standing: bool = False) -> dict[str, Contrast]:
        """With ``standing``, verdicts that were shown stand: they are on the seeds of then."""
        first = {name: one.first for name, one in past.items()} if standing else {}
        return {
            name: contrast(seeds, known[other], compare, first.get(name) or None)
            for name, seeds in known.items()
            if (other := reference[name]) in known and other is not None
        }

    def findings(contrasts: Mapping[str, Contrast], *, planned: int = 0, level: float = LEVEL) -> dict[str, Finding]:
        return examine(contrasts, compare.better, compare.margin, estimate, planned, level)

    level = LEVEL if looks is None else LEVEL * looks.weights[0]
    planned = len(pairs)
    baselines = {name: baseline if name != baseline else None for name in known}
    from_parent = differences(parents, standing=True)
    corrected = counted(from_parent, pairs) if looks is None else planned
    to_parent = findings(from_parent, planned=corrected, level=level)
    same = baselines == parents and looks is None and not any(one.first for one in past.values())
    to_baseline = to_parent if same else findings(differences(baselines))
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
        related = [records[one] for one in (name, row.parent) if one in records]
        threads = thread_notes(run for record in related for run in record.runs)
        row = replace(row, notes=(*row.notes, *threads, *seed_notes(row, log=compare.log)))
        row = with_search(row, records[name], records.get(row.parent or ""))
        rows.append(beside_baseline(row, to_baseline.get(name), compare))
    rows, interactions = with_interactions(rows, known, compare)
    if looks is not None:  # repeated looks at interactions are not corrected for
        rows = [replace(row, interaction_p=None) for row in rows]
    rows = with_best(rows, known, compare, estimate)
    pooled = any(one.effect and one.effect.spread and one.effect.spread.pooled for one in to_parent.values())
    new_samples = NoNewSamples() if examples is None else OnNewSamples(known, compare, examples)
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
            corrected > planned,
        ),
        axis,
        tricks=trick_table(study.recipe, known),
        path=path_of(study),
        new_samples=new_samples,
        diagnosis=NoDiagnosis() if curves is None else Diagnosis(shown, curves, axis, new_samples),
    )
    looked = (
        verdict_lines(table, known, earlier)
        if looks is None
        else look_lines(standings, known, looks, study.recipe, key, earlier)
    )
    return replace(table, looked=tuple(looked))


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
