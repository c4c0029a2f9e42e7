"""Rows against other rows: which seeds are paired, what the differences say, and what has to be said about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ablate.evidence.paired import Differences, Effect, Estimator, differences, effect, own_spreads
from ablate.evidence.seeds import Seeds, named
from ablate.evidence.verdicts import Verdict, judge
from ablate.study.records import Status

UNDER_WAY: frozenset[Status] = frozenset({"queued", "running", "interrupted", "stale"})


@dataclass(frozen=True)
class Contrast:
    """One row against another.

    ``sample`` holds the paired differences, None where there are none to take; ``final`` is false while seeds are missing that will come.
    """

    sample: Differences | None = None
    final: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What became of a contrast."""

    effect: Effect | None = None
    p_adjusted: float | None = None
    verdict: Verdict | None = None
    notes: tuple[str, ...] = field(default=())


def contrast(row: Seeds, reference: Seeds, relation: str, metric: str, at: str) -> Contrast:
    """Pair two rows by seed on a metric. ``relation`` says in notes what the reference is to the row, such as ``parent``."""
    for side, who in ((row, ""), (reference, f"its {relation} ")):
        lost = [seed for seed, status in side.statuses.items() if status == "diverged"]
        if lost:
            # The seeds that came through are a choice by result: their mean would flatter whichever side lost some.
            return Contrast(notes=(f"no difference is taken: {who}diverged for {named(lost)}",) if who else ())
    mine, theirs = row.values(metric, at), reference.values(metric, at)
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        return Contrast()
    sample = differences([mine[seed] for seed in common], [theirs[seed] for seed in common])
    final = row.status not in UNDER_WAY and reference.status not in UNDER_WAY
    notes = []
    if not sample.any():
        which = "every seed" if len(common) > 1 else named(common)
        same = all(row.measured(seed) == reference.measured(seed) for seed in common)
        notes.append(
            f"identical to its {relation} for {which}" if same else f"same {metric} as its {relation} for {which}"
        )
    elif final and len(common) < max(len(mine), len(theirs)):
        notes.append(f"paired with its {relation} over {named(common)} only")
    if reference.status in UNDER_WAY and row.status not in UNDER_WAY:
        notes.append(f"its {relation} is not finished: no verdict yet")
    return Contrast(sample, final, tuple(notes))


def examine(
    contrasts: Mapping[str, Contrast], better: Literal["lower", "higher"], estimate: Estimator = own_spreads
) -> dict[str, Finding]:
    """Effects of all contrasts, and verdicts over those that are final, adjusted together.

    A row whose seeds are still coming gets its interval but no p-value: looking again and again until one pleases finds something in the end.
    """
    names = [name for name, each in contrasts.items() if each.sample is not None]
    samples: Sequence[Differences] = [s for each in contrasts.values() if (s := each.sample) is not None]
    effects = {n: effect(s, spread) for n, s, spread in zip(names, samples, estimate(samples), strict=True)}
    final = [effects[name] if name in effects and each.final else None for name, each in contrasts.items()]
    judged = dict(zip(contrasts, judge(final, better), strict=True))
    return {name: Finding(effects.get(name), *judged[name], each.notes) for name, each in contrasts.items()}
