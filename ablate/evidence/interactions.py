"""Interactions: whether a change has the same effect on top of another one as alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ablate.evidence.confounds import judged
from ablate.evidence.contrasts import UNDER_WAY, contrast, effect_apart
from ablate.evidence.paired import Differences, Effect
from ablate.evidence.seeds import Seeds
from ablate.evidence.table import Row
from ablate.evidence.verdicts import holm
from ablate.recipe.variant import Compare

Values = Mapping[int, float]
"""A metric by seed."""


def interaction(neither: Values, first: Values, second: Values, both: Values) -> tuple[Differences, list[int]]:
    """(both − first) − (second − neither) for each seed that all four variants have, (n,), and these seeds.

    The effect of the second change on top of the first, minus its effect alone: 0 if the two are additive. It is an
    effect like any other, for `ablate.evidence.paired.effect`.
    """
    seeds = sorted(neither.keys() & first.keys() & second.keys() & both.keys())
    extra = [(both[seed] - first[seed]) - (second[seed] - neither[seed]) for seed in seeds]
    return np.array(extra, dtype=np.float64), seeds


def with_interactions(rows: Sequence[Row], known: Mapping[str, Seeds], compare: Compare) -> tuple[list[Row], int]:
    """The rows, those of pairs (`Variant.of`) with their interaction on the compared metric, paired by seed over four
    variants; and the number of interactions that are planned.

    The variance is estimated from the interaction's own values. P-values are corrected over the interactions alone, all
    that are planned. Rows that diverged, are not finished or have other validation data are treated as in differences
    from the parent.
    """
    effects: dict[str, Effect] = {}
    final: set[str] = set()
    planned = 0
    for name in known:
        four = _four(name, known)
        if four is None:
            continue
        neither, *others = four
        alike = all(judged(side.variant, neither.variant, compare.metric) for side in others)
        planned += alike
        # without a difference there is no interaction either
        if any(contrast(side, neither, compare).sample is None for side in others):
            continue
        sample, seeds = interaction(*(side.compared(compare) for side in four))
        if seeds and np.isfinite(sample).all():
            folds = neither.folds if neither.unit == "fold" else None
            effects[name] = effect_apart(sample, folds)
        if alike and not any(side.status in UNDER_WAY for side in four):
            final.add(name)
    asked = [name for name in effects if name in final]
    adjusted = dict(zip(asked, holm([effects[name].p for name in asked], planned), strict=True))
    found = [
        replace(
            row,
            interaction=one.delta,
            interaction_low=one.low,
            interaction_high=one.high,
            interaction_p=adjusted.get(row.variant),
        )
        if (one := effects.get(row.variant)) is not None
        else row
        for row in rows
    ]
    return found, planned


def _four(name: str, known: Mapping[str, Seeds]) -> tuple[Seeds, Seeds, Seeds, Seeds] | None:
    """Neither change, the first, the second and both; None if the variant is no pair, or if one of them is not in the
    table.
    """
    both = known[name]
    if len(both.variant.of) != 2:
        return None
    first, second = (known.get(one) for one in both.variant.of)
    if first is None or second is None or first.variant.parent != second.variant.parent:
        return None
    neither = known.get(first.variant.parent or "")
    return None if neither is None else (neither, first, second, both)
