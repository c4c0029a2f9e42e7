"""The rows of a table: one variant's values, its comparisons with its parent and the baseline, and notes about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ablate.evidence.confounds import (
    Origins,
    different_origins,
    different_samples,
    different_settings,
    different_steps,
    same_weights,
    unpaired_init,
    unpaired_start,
)
from ablate.evidence.contrasts import UNDER_WAY, Finding
from ablate.evidence.inert_changes import inert
from ablate.evidence.paired import FLAT, LEVEL, average, deviation, unit_of
from ablate.evidence.seeds import Seeds
from ablate.evidence.sequential import Standing
from ablate.evidence.table import Row
from ablate.notes.note import Note
from ablate.recipe.looks import Looks
from ablate.recipe.measured import LOSSES, metrics_of
from ablate.recipe.own_training import own_training
from ablate.recipe.variant import Compare, MeanOfLast
from ablate.store.places import Axis


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
