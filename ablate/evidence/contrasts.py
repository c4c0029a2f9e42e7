"""Rows against other rows: which seeds are paired, what the differences say, and what has to be said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ablate.evidence.confounds import same_validation, unlike_losses, unlike_scaling
from ablate.evidence.fold_variance import fold_spread
from ablate.evidence.outliers import far_out
from ablate.evidence.paired import Differences, Effect, Estimator, Spread, differences, effect, own_spread
from ablate.evidence.seeds import Seeds, Unit, named
from ablate.evidence.table import ALL_LOSSES
from ablate.evidence.variance_pooling import shared_spreads
from ablate.evidence.verdicts import Better, Judgement, judge
from ablate.store.records import Status

UNDER_WAY: frozenset[Status] = frozenset({"queued", "running", "interrupted", "stale"})


@dataclass(frozen=True)
class Contrast:
    """One row against another.

    ``sample`` holds the paired differences, one for each of ``seeds``, None where there are none to take; ``final`` is false while seeds are missing that
    will come. ``comparable`` is false where the two are validated on other data, so that differences say nothing of the row's change. ``reference`` is the
    other row's name, ``relation`` what it is to the row. Where they are paired by the fold of one seed (``unit``), there are ``folds`` of them.
    """

    sample: Differences | None = None
    final: bool = True
    notes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    reference: str = ""
    relation: str = "parent"
    comparable: bool = True
    unit: Unit = "seed"
    folds: int | None = None


@dataclass(frozen=True)
class Finding:
    """What became of a contrast."""

    effect: Effect | None = None
    judgement: Judgement = field(default_factory=Judgement)
    notes: tuple[str, ...] = ()


def contrast(row: Seeds, reference: Seeds, relation: str, metric: str, at: str) -> Contrast:
    """Pair two rows by seed on a metric. ``relation`` says in notes what the reference is to the row, such as ``parent``."""
    for side, who in ((row, ""), (reference, f"its {relation} ")):
        lost = [seed for seed, status in side.statuses.items() if status == "diverged"]
        if lost:
            # The seeds that came through are a choice by result: their mean would flatter whichever side lost some.
            return Contrast(notes=(f"no difference is taken: {who}diverged for {side.named(lost)}",) if who else ())
    other_loss = unlike_losses(row.variant, reference.variant) if metric in ALL_LOSSES else None
    if other_loss is not None:
        return Contrast(notes=(f"no difference in {metric} is taken from its {relation}: {other_loss}",))
    mine, theirs = row.values(metric, at), reference.values(metric, at)
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        return Contrast()
    if metric in ALL_LOSSES and any(unlike_scaling(row.runs[one], reference.runs[one]) for one in common):
        return Contrast(
            notes=(f"no difference in {metric} is taken from its {relation}: their targets are in other units",)
        )
    sample = differences([mine[seed] for seed in common], [theirs[seed] for seed in common])
    final = row.status not in UNDER_WAY and reference.status not in UNDER_WAY
    notes = []
    twins = [seed for seed in common if row.measured(seed) == reference.measured(seed)]
    if twins:
        every = len(twins) == len(common) > 1
        notes.append(f"identical to its {relation} for {f'every {row.unit}' if every else row.named(twins)}")
    elif not sample.any():
        notes.append(
            f"same {metric} as its {relation} for {f'every {row.unit}' if len(common) > 1 else row.named(common)}"
        )
    if sample.any() and final and len(common) < max(len(mine), len(theirs)):
        notes.append(f"paired with its {relation} over {row.named(common)} only")
    if reference.status in UNDER_WAY and row.status not in UNDER_WAY:
        notes.append(f"its {relation} is not finished: no verdict yet")
    comparable = same_validation(row.variant, reference.variant)
    who, folds = reference.variant.name, row.folds if row.unit == "fold" else None
    return Contrast(sample, final, tuple(notes), tuple(common), who, relation, comparable, row.unit, folds)


def examine(
    contrasts: Mapping[str, Contrast],
    better: Better,
    smallest: float | None = None,
    estimate: Estimator = shared_spreads,
) -> dict[str, Finding]:
    """Effects of all contrasts, by the row's name, and verdicts over those that are final, adjusted together.

    A row whose seeds are still coming gets its interval but no p-value: looking again and again until one pleases finds something in the end. Nor does a
    row on other data than its reference, whose scatter is told from its own differences and tells nothing of the others'. Folds of one seed are each judged
    by their own scatter, corrected for what they share.
    """
    known = {name: each.sample for name, each in contrasts.items() if each.sample is not None}
    taken = {name: sample for name, sample in known.items() if contrasts[name].comparable and not contrasts[name].folds}
    apart = {name: sample for name, sample in known.items() if name not in taken}
    samples = list(taken.values())
    spreads = estimate(samples, [(name, contrasts[name].reference) for name in taken])
    effects = {name: effect(d, spread) for (name, d), spread in zip(taken.items(), spreads, strict=True)}
    outliers = dict(zip(taken, far_out(samples), strict=True))
    effects |= {name: effect(d, spread_apart(d, contrasts[name].folds)) for name, d in apart.items()}
    asked = {name for name, each in contrasts.items() if name in effects and each.comparable and each.final}
    final = [effects[name] if name in asked else None for name in contrasts]
    judged = dict(zip(contrasts, judge(final, better, smallest), strict=True))
    found = {}
    for name, each in contrasts.items():
        notes = list(each.notes)
        if far := [each.seeds[place] for place in outliers.get(name, ())]:
            notes.append(f"the difference to its {each.relation} is far from the others for {named(far, each.unit)}")
        if name in effects and effects[name].n > 1 and effects[name].low is None:
            notes.append(
                f"every {each.unit} differs from its {each.relation} by the same amount: nothing tells chance from effect"
            )
        judgement = judged[name] if not each.folds else replace(judged[name], more_seeds=None)
        found[name] = Finding(effects.get(name), judgement, tuple(notes))
    return found


def spread_apart(sample: Differences, folds: int | None) -> Spread | None:
    """What a comparison scatters by that borrows from no other."""
    return own_spread(sample) if folds is None else fold_spread(sample, folds)
