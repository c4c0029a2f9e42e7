"""Comparisons of variants: which seeds are paired, their differences and outliers, and notes about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ablate.evidence.confounds import different_losses, different_scaling, same_validation
from ablate.evidence.paired import (
    LEVEL,
    Differences,
    Effect,
    Estimator,
    differences,
    effect,
    fold_spread,
    own_spread,
    scatter,
    unit_of,
)
from ablate.evidence.seeds import Seeds, Unit
from ablate.evidence.table import ALL_LOSSES
from ablate.evidence.variance_pooling import shared_spreads
from ablate.evidence.verdicts import Better, Judgement, judge
from ablate.notes.note import Note
from ablate.recipe.variant import Compare
from ablate.store.records import Status

UNDER_WAY: frozenset[Status] = frozenset({"queued", "running", "interrupted", "stale"})


@dataclass(frozen=True)
class Contrast:
    """One variant compared with another, ``reference``.

    ``sample`` holds the paired differences, one for each of ``seeds``, or None. ``final`` is false while more seeds are
    to come. ``comparable`` is false if the validation data may differ. If the two are paired by the folds of one seed
    (``unit``), ``folds`` is their number. ``whole``: both variants have finished all seeds that were asked for. The
    notes call the reference the parent.
    """

    sample: Differences | None = None
    final: bool = True
    notes: tuple[Note, ...] = ()
    seeds: tuple[int, ...] = ()
    reference: str = ""
    comparable: bool = True
    unit: Unit = "seed"
    folds: int | None = None
    whole: bool = True


@dataclass(frozen=True)
class Finding:
    """The result of a contrast."""

    effect: Effect | None = None
    judgement: Judgement = field(default_factory=Judgement)
    notes: tuple[Note, ...] = ()


def contrast(row: Seeds, reference: Seeds, compare: Compare, among: Collection[int] | None = None) -> Contrast:
    """Pair two variants by seed on the compared metric, all seeds that both have or those ``among`` these."""
    metric = compare.metric
    for side in (row, reference):
        if failed := side.failures(compare, among):
            return Contrast(notes=() if side is row else (Note("parent_failed", seeds=side.some(failed)),))
        lost = tuple(
            seed for seed, status in side.statuses.items() if status == "diverged" and (among is None or seed in among)
        )
        if lost:
            # The seeds that did not diverge are selected by their results: their mean would be biased.
            return Contrast(notes=() if side is row else (Note("parent_diverged", seeds=side.some(lost)),))
    if metric in ALL_LOSSES and (other_loss := different_losses(row.variant, reference.variant, metric)) is not None:
        return Contrast(notes=(other_loss,))
    for side in (row, reference):
        if wrong := side.not_positive(compare):
            whose = "" if side is row else "the parent's "
            return Contrast(notes=(Note("not_positive", seeds=wrong, values={"metric": metric, "whose": whose}),))
    mine, theirs = row.compared(compare), reference.compared(compare)
    if among is not None:
        mine, theirs = ({seed: v for seed, v in side.items() if seed in among} for side in (mine, theirs))
    common = sorted(mine.keys() & theirs.keys())
    final = not under_way(row, among) and not under_way(reference, among)
    if not common:
        logged = all(note.kind != "no_seed" for note in row.notes())
        apart = mine and theirs and final and logged
        values = {"parent": reference.variant.name}
        return Contrast(final=final, notes=(Note("no_common_seed", values=values),) if apart else ())
    if metric in ALL_LOSSES and any(different_scaling(row.runs[one], reference.runs[one]) for one in common):
        return Contrast(notes=(Note("other_units", values={"metric": metric}),))
    sample = differences([mine[seed] for seed in common], [theirs[seed] for seed in common])
    if not np.isfinite(sample).all():  # too large for a number
        return Contrast()
    notes = []
    twins = tuple(seed for seed in common if row.equals(reference, seed))
    if twins:
        notes.append(Note("identical", seeds=() if len(twins) == len(common) > 1 else twins))
    elif not sample.any():
        notes.append(Note("same_metric", seeds=() if len(common) > 1 else tuple(common), values={"metric": metric}))
    if sample.any() and final and len(common) < max(len(mine), len(theirs)):
        notes.append(Note("paired_on_some", seeds=tuple(common)))
    if under_way(reference, among) and not under_way(row, among):
        notes.append(Note("parent_unfinished"))
    return Contrast(
        sample,
        final,
        tuple(notes),
        tuple(common),
        reference.variant.name,
        comparable=same_validation(row.variant, reference.variant),
        unit=row.unit,
        folds=row.folds if row.unit == "fold" else None,
        whole=among is None or all(set(among) <= set(side.finished) for side in (row, reference)),
    )


def under_way(side: Seeds, among: Collection[int] | None) -> bool:
    """Whether results are still to come, of all of a variant's seeds or of those ``among`` these."""
    if among is None:
        return side.status in UNDER_WAY
    return any(side.statuses.get(seed, "queued") in UNDER_WAY for seed in among)


def counted(contrasts: Mapping[str, Contrast], planned: Collection[str]) -> int:
    """The number of comparisons that p-values are corrected over: the ``planned`` ones, each counted twice until all of
    them have finished.

    Every variant that finishes changes the variances of the others, so each table shown before is another chance
    of a false positive (docs/evidence.md).
    """
    finished = all(name in contrasts and contrasts[name].final for name in planned)
    return len(planned) * (1 if finished else 2)


def examine(
    contrasts: Mapping[str, Contrast],
    better: Better,
    smallest: float | None = None,
    estimate: Estimator = shared_spreads,
    planned: int = 0,
    level: float = LEVEL,
) -> dict[str, Finding]:
    """Effects of all contrasts, by the variant's name, and verdicts of those that are final, corrected over all
    ``planned`` ones.

    Intervals cover 1 − ``level``, and p-values below it are significant. A variant whose seeds are still running gets
    an interval but no p-value: repeated looks at incomplete results increase the false positive rate. Nor does a
    variant with other validation data, whose variance is estimated from its own differences alone. So are those of the
    folds of one seed, corrected for the training samples that folds share, and of differences of extreme size.
    """
    known = {name: each.sample for name, each in contrasts.items() if each.sample is not None}
    taken = {
        name: sample
        for name, sample in known.items()
        if contrasts[name].comparable and not contrasts[name].folds and unit_of(sample) == 1
    }
    apart = {name: sample for name, sample in known.items() if name not in taken}
    samples = list(taken.values())
    pairs, seeds = [(name, contrasts[name].reference) for name in taken], [contrasts[name].seeds for name in taken]
    spreads = estimate(samples, pairs, seeds)
    effects = {name: effect(d, spread, level) for (name, d), spread in zip(taken.items(), spreads, strict=True)}
    outliers = dict(zip(taken, far_out(samples), strict=True))
    wide = dict(zip(taken, scatter_ratios(samples), strict=True))
    effects |= {name: effect_apart(d, contrasts[name].folds, level) for name, d in apart.items()}
    asked = {name for name, each in contrasts.items() if name in effects and each.comparable and each.final}
    final = [effects[name] if name in asked else None for name in contrasts]
    judged = dict(zip(contrasts, judge(final, better, smallest, planned, level), strict=True))
    found = {}
    for name, each in contrasts.items():
        notes = list(each.notes)
        if far := tuple(each.seeds[place] for place in outliers.get(name, ())):
            notes.append(Note("outlier", seeds=far))
        if not far and (ratio := wide.get(name, 0.0)) >= WIDE and each.final:
            notes.append(Note("scatters_more", values={"ratio": round(ratio)}))
        if name in effects and effects[name].n > 1 and effects[name].spread is None:
            notes.append(Note("same_difference"))
        judgement = judged[name]
        if each.folds:
            judgement = replace(judgement, detectable=None, detectable_seeds=None)
        found[name] = Finding(effects.get(name), judgement, tuple(notes))
    return found


def effect_apart(sample: Differences, folds: int | None, level: float = LEVEL) -> Effect:
    """The effect of a comparison from its own differences alone."""
    unit = unit_of(sample)
    sample = sample / unit
    return effect(sample, own_spread(sample) if folds is None else fold_spread(sample, folds), level).times(unit)


WIDE = 5.0
"""How many times the median standard deviation of a study's differences is much: with fewer than `MANY` seeds, a t-test
of such a comparison is unreliable if its differences are skewed.
"""

MANY = 20


def scatter_ratios(samples: Sequence[Differences]) -> list[float]:
    """The standard deviation of each comparison's differences, divided by the median of the others'; 0 if there are
    fewer than two others, with `MANY` seeds or more, and where that is 0.
    """
    sizes = [scatter(sample) if len(sample) > 1 else 0.0 for sample in samples]
    ratios = []
    for i, (size, sample) in enumerate(zip(sizes, samples, strict=True)):
        others = [other for j, other in enumerate(sizes) if j != i and other > 0]
        middle = float(np.median(others)) if len(others) > 1 and len(sample) < MANY else 0.0
        ratios.append(size / middle if middle > 0 else 0.0)
    return ratios


FAR = 5.0
"""Median absolute deviations (as multiples of a normal's standard deviation) from the median that count as far."""

FEWEST = 5
"""The fewest pairs for which outliers are reported: of three, two are always closer to each other than to the third."""

NORMAL = 1.4826
"""A normal's standard deviation in median absolute deviations."""


def far_out(samples: Sequence[Differences]) -> list[list[int]]:
    """The indices of outliers in each comparison.

    A few pairs can agree by chance, so each comparison uses at least the median deviation of all comparisons.
    """
    deviations = [deviation(sample) for sample in samples]
    floor = float(np.median([d for d, s in zip(deviations, samples, strict=True) if len(s) >= FEWEST] or [0.0]))
    found = []
    for sample, own in zip(samples, deviations, strict=True):
        limit = FAR * max(own, floor)
        far = np.abs(sample - np.median(sample)) > limit
        found.append([int(i) for i in np.flatnonzero(far)] if limit > 0 and len(sample) >= FEWEST else [])
    return found


def deviation(sample: Differences) -> float:
    """The median absolute deviation from the median, scaled to a normal's standard deviation."""
    return NORMAL * float(np.median(np.abs(sample - np.median(sample))))
