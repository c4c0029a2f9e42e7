"""Rows against other rows: which seeds are paired, what the differences say, and what has to be said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.evidence.likeness import same_validation, unlike_losses
from ablate.evidence.outliers import far_out
from ablate.evidence.paired import Differences, Effect, Estimator, differences, effect, own_spread
from ablate.evidence.seeds import Seeds, named
from ablate.evidence.sharing import shared_spreads
from ablate.evidence.table import LOSSES
from ablate.evidence.verdicts import Better, Judgement, judge
from ablate.study.records import Status

UNDER_WAY: frozenset[Status] = frozenset({"queued", "running", "interrupted", "stale"})


@dataclass(frozen=True)
class Contrast:
    """One row against another.

    ``sample`` holds the paired differences, one for each of ``seeds``, None where there are none to take; ``final`` is false while seeds are missing that
    will come. ``comparable`` is false where the two are validated on other data, so that differences say nothing of the row's change. ``reference`` is the
    other row's name, ``relation`` what it is to the row.
    """

    sample: Differences | None = None
    final: bool = True
    notes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    reference: str = ""
    relation: str = "parent"
    comparable: bool = True


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
            return Contrast(notes=(f"no difference is taken: {who}diverged for {named(lost)}",) if who else ())
    other_loss = unlike_losses(row.variant, reference.variant) if metric in LOSSES else None
    if other_loss is not None:
        return Contrast(notes=(f"no difference in {metric} is taken from its {relation}: {other_loss}",))
    mine, theirs = row.values(metric, at), reference.values(metric, at)
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        return Contrast()
    sample = differences([mine[seed] for seed in common], [theirs[seed] for seed in common])
    final = row.status not in UNDER_WAY and reference.status not in UNDER_WAY
    notes = []
    twins = [seed for seed in common if row.measured(seed) == reference.measured(seed)]
    if twins:
        every = len(twins) == len(common) > 1
        notes.append(f"identical to its {relation} for {'every seed' if every else named(twins)}")
    elif not sample.any():
        notes.append(f"same {metric} as its {relation} for {'every seed' if len(common) > 1 else named(common)}")
    if sample.any() and final and len(common) < max(len(mine), len(theirs)):
        notes.append(f"paired with its {relation} over {named(common)} only")
    if reference.status in UNDER_WAY and row.status not in UNDER_WAY:
        notes.append(f"its {relation} is not finished: no verdict yet")
    comparable = same_validation(row.variant, reference.variant)
    return Contrast(sample, final, tuple(notes), tuple(common), reference.variant.name, relation, comparable)


def examine(
    contrasts: Mapping[str, Contrast],
    better: Better,
    smallest: float | None = None,
    estimate: Estimator = shared_spreads,
) -> dict[str, Finding]:
    """Effects of all contrasts, by the row's name, and verdicts over those that are final, adjusted together.

    A row whose seeds are still coming gets its interval but no p-value: looking again and again until one pleases finds something in the end. Nor does a
    row on other data than its reference, whose scatter is told from its own differences and tells nothing of the others'.
    """
    taken = {name: each.sample for name, each in contrasts.items() if each.sample is not None and each.comparable}
    apart = {name: each.sample for name, each in contrasts.items() if each.sample is not None and not each.comparable}
    samples = list(taken.values())
    spreads = estimate(samples, [(name, contrasts[name].reference) for name in taken])
    effects = {name: effect(d, spread) for (name, d), spread in zip(taken.items(), spreads, strict=True)}
    outliers = dict(zip(taken, far_out(samples), strict=True))
    final = [effects[name] if name in effects and each.final else None for name, each in contrasts.items()]
    effects |= {name: effect(d, own_spread(d)) for name, d in apart.items()}
    judged = dict(zip(contrasts, judge(final, better, smallest), strict=True))
    found = {}
    for name, each in contrasts.items():
        notes = list(each.notes)
        if far := [each.seeds[place] for place in outliers.get(name, ())]:
            notes.append(f"the difference to its {each.relation} is far from the others for {named(far)}")
        if name in effects and effects[name].n > 1 and effects[name].low is None:
            notes.append(
                f"every seed differs from its {each.relation} by the same amount: nothing tells chance from effect"
            )
        found[name] = Finding(effects.get(name), judged[name], tuple(notes))
    return found
