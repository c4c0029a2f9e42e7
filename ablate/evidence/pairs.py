"""Rows that put two changes together: is the second worth there what it is worth alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.evidence.confounds import same_validation
from ablate.evidence.contrasts import UNDER_WAY, contrast, spread_apart
from ablate.evidence.holm import holm
from ablate.evidence.interactions import interaction
from ablate.evidence.paired import Effect, effect
from ablate.evidence.seeds import Seeds
from ablate.evidence.table import Row
from ablate.recipe.variant import Compare


def beside_singles(rows: Sequence[Row], known: Mapping[str, Seeds], compare: Compare) -> list[Row]:
    """The rows, those of pairs (`Variant.of`) with their interaction on the compared metric, paired by seed over the four rows that it takes.

    Its interval comes from its own scatter; p-values are adjusted over the study's interactions by themselves, which are a question of their own.
    Rows with a diverged seed, or of which some is still under way or validated on other data, are treated as differences to the parent are.
    """
    effects: dict[str, Effect] = {}
    final: set[str] = set()
    for row in rows:
        four = _four(row.variant, known)
        if four is None:
            continue
        neither, *others = four
        # what no difference is taken of has no interaction either
        if any(contrast(side, neither, "", compare.metric, compare.at).sample is None for side in others):
            continue
        sample, seeds = interaction(*(side.values(compare.metric, compare.at) for side in four))
        if seeds:
            folds = neither.folds if neither.unit == "fold" else None
            effects[row.variant] = effect(sample, spread_apart(sample, folds))
        alike = all(same_validation(side.variant, neither.variant) for side in others)
        if alike and not any(side.status in UNDER_WAY for side in four):
            final.add(row.variant)
    asked = [name for name in effects if name in final]
    adjusted = dict(zip(asked, holm([effects[name].p for name in asked]), strict=True))
    return [
        replace(
            row,
            interaction=found.delta,
            interaction_low=found.low,
            interaction_high=found.high,
            interaction_p=adjusted.get(row.variant),
        )
        if (found := effects.get(row.variant)) is not None
        else row
        for row in rows
    ]


def _four(name: str, known: Mapping[str, Seeds]) -> tuple[Seeds, Seeds, Seeds, Seeds] | None:
    """Neither change, the first, the second and both; None where the row is no pair, or some of them is not among the rows."""
    both = known[name]
    if len(both.variant.of) != 2:
        return None
    first, second = (known.get(one) for one in both.variant.of)
    if first is None or second is None or first.variant.parent != second.variant.parent:
        return None
    neither = known.get(first.variant.parent or "")
    return None if neither is None else (neither, first, second, both)
