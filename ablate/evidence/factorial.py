"""Effects of tricks that combine the results of several variants of a design.

Each effect is a linear contrast: a weighted sum of the results that the variants have with the same seed, whose weights
add up to 0. So an effect is one number per seed, and the paired t-test applies to it, with the variance of these
numbers alone (`ablate.evidence.paired`).

Variants are identified by their sets of tricks, S ⊆ N. v(S) is the result of a variant; k is the number of tricks in N.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from typing import TypeVar

import numpy as np

from ablate.evidence.confounds import judged
from ablate.evidence.contrasts import UNDER_WAY, contrast, effect_apart
from ablate.evidence.paired import Floats
from ablate.evidence.seeds import Seeds
from ablate.evidence.trick_table import Estimate, Interaction, TrickRow, TrickTable
from ablate.evidence.verdicts import holm
from ablate.recipe.recipe import Recipe
from ablate.recipe.screening import aliases
from ablate.recipe.variant import Compare

Tricks = frozenset[str]
Weights = Mapping[Tricks, float]
"""The weight of each variant in a contrast, by its tricks."""

Key = TypeVar("Key", bound=Hashable)

ROUNDING = 1e-13
"""A contrast below this, relative to the results that it combines, is due to rounding."""


def subsets(tricks: Sequence[str]) -> Iterator[Tricks]:
    """All sets of these tricks, the empty one first."""
    for size in range(len(tricks) + 1):
        yield from map(frozenset, combinations(tricks, size))


def difference(more: Tricks, less: Tricks) -> Weights:
    """v(more) − v(less)."""
    return {more: 1.0, less: -1.0}


def differs(trick: str, tricks: Sequence[str]) -> Weights:
    """The effect of a trick on the baseline minus its effect on all others: (v({i}) − v(∅)) − (v(N) − v(N∖{i})).

    0 if its effect does not depend on the other tricks. With two tricks, minus their interaction.
    """
    weights: dict[Tricks, float] = {}
    every, one = frozenset(tricks), frozenset({trick})
    for chosen, sign in ((one, 1.0), (frozenset(), -1.0), (every, -1.0), (every - one, 1.0)):
        weights[chosen] = weights.get(chosen, 0.0) + sign
    return weights


def shapley(trick: str, tricks: Sequence[str]) -> Weights:
    """The trick's Shapley value (Shapley 1953, A value for n-person games): the mean, over all orders in which the
    tricks can be added, of what it adds to the ones before it.

    Σ |S|! (k − |S| − 1)! / k! · (v(S ∪ {i}) − v(S)) over all S without i. The values of all tricks add up to
    v(N) − v(∅).
    """
    k = len(tricks)
    weights: dict[Tricks, float] = {}
    for chosen in subsets([one for one in tricks if one != trick]):
        weight = factorial(len(chosen)) * factorial(k - len(chosen) - 1) / factorial(k)
        weights[chosen | {trick}], weights[chosen] = weight, -weight
    return weights


def interaction(group: Sequence[str], tricks: Sequence[str]) -> Weights:
    """The interaction of a group G of tricks, averaged over all combinations T of the other ones: the factorial effect
    of Yates (1937, The design and analysis of factorial experiments), which is a coefficient of the Walsh transform.

    It is the mean over T of Σ (−1)^(|G| − |S|) v(S ∪ T) over all S ⊆ G: for two tricks, the effect of one with the
    other minus its effect without it. This scale is that of Banzhaf's interaction index (Grabisch and Roubens 1999, An
    axiomatic approach to the concept of interaction, section 2): 2^(|G| − 1) times Yates' effect. Unlike the Möbius
    transform, which takes T = ∅ alone, it uses all results, so its variance is smaller.
    """
    others = list(subsets([one for one in tricks if one not in group]))
    sign = {chosen: (-1.0) ** (len(group) - len(chosen)) for chosen in subsets(group)}
    return {chosen | rest: sign[chosen] / len(others) for rest in others for chosen in sign}


def main_effect(trick: str, variants: Collection[Tricks]) -> Weights:
    """The mean result of the variants with the trick minus the mean of those without it."""
    count = sum(trick in chosen for chosen in variants)
    others = len(variants) - count
    return {chosen: 1 / count if trick in chosen else -1 / others for chosen in variants}


@dataclass(frozen=True)
class Sample:
    """A contrast by seed, (n,), or None. ``planned``: the settings of its variants allow a test. ``final``: no more
    seeds are to come. ``folds``: the number of folds, if these take the place of seeds.
    """

    values: Floats | None
    planned: bool
    final: bool
    folds: int | None = None


def sample(weights: Weights, sides: Mapping[Tricks, Seeds], compare: Compare) -> Sample:
    """A contrast for each seed that all of its variants have.

    No values if a variant is missing or diverged, cannot be compared with the first one, or has no seed in common with
    the others.
    """
    used = {chosen: weight for chosen, weight in weights.items() if weight}
    if not used or not used.keys() <= sides.keys():
        return Sample(None, planned=False, final=False)
    first, *others = (sides[chosen] for chosen in used)
    planned = all(judged(side.variant, first.variant, compare.metric) for side in others)
    final = not any(side.status in UNDER_WAY for side in (first, *others))
    folds = first.folds if first.unit == "fold" else None
    if any(contrast(side, first, compare).sample is None for side in others):
        return Sample(None, planned, final, folds)
    known = [sides[chosen].compared(compare) for chosen in used]
    seeds = sorted(set(known[0]).intersection(*known[1:]))
    values = combined(list(used.values()), np.array([[values[seed] for seed in seeds] for values in known]))
    if not seeds or not np.isfinite(values).all():
        return Sample(None, planned, final, folds)
    return Sample(values, planned, final, folds)


def combined(weights: Sequence[float], results: Floats) -> Floats:
    """A contrast by seed, (n,), of results (V, n)."""
    # differences from one variant first: equal results give exactly 0
    with np.errstate(over="ignore", invalid="ignore"):
        values: Floats = np.array(weights) @ (results - results[0])
    values[np.abs(values) <= ROUNDING * np.abs(results).max(axis=0)] = 0.0
    return values


def family(
    contrasts: Mapping[Key, Weights], sides: Mapping[Tricks, Seeds], compare: Compare
) -> tuple[dict[Key, Estimate], int]:
    """The effects of a family of contrasts that have values, and the number of planned tests that their p-values are
    corrected over (Holm).

    Contrasts with variants whose seeds have not all finished have no p-value, and count as 1 in the correction.
    """
    return estimates({key: sample(weights, sides, compare) for key, weights in contrasts.items()})


def estimates(samples: Mapping[Key, Sample]) -> tuple[dict[Key, Estimate], int]:
    """`family`, given the contrasts by seed."""
    planned = sum(one.planned for one in samples.values())
    effects = {key: effect_apart(one.values, one.folds) for key, one in samples.items() if one.values is not None}
    asked = [key for key in effects if samples[key].planned and samples[key].final]
    adjusted = dict(zip(asked, holm([effects[key].p for key in asked], planned), strict=True))
    return {
        key: Estimate(one.delta, one.low, one.high, one.p if key in adjusted else None, adjusted.get(key))
        for key, one in effects.items()
    }, planned


def trick_table(recipe: Recipe, known: Mapping[str, Seeds]) -> TrickTable | None:
    """The effects of the tricks of a crossed design; None for other designs."""
    sides: dict[Tricks, Seeds] = {}
    for side in known.values():
        sides.setdefault(frozenset(side.variant.tricks), side)
    ways = {"both-ends": both_ends, "factorial": full_factorial, "screen": screened, "screen-foldover": screened}
    return ways[recipe.design](recipe.tricks, sides, recipe.compare) if recipe.design in ways else None


def ends(tricks: Sequence[str], sides: Mapping[Tricks, Seeds], compare: Compare) -> TrickTable:
    """Each trick's effect on the baseline and on all others."""
    every: Tricks = frozenset(tricks)
    alone, _ = family({one: difference(frozenset({one}), frozenset()) for one in tricks}, sides, compare)
    last, _ = family({one: difference(every, every - {one}) for one in tricks}, sides, compare)
    total, _ = family({"": difference(every, frozenset())}, sides, compare)

    def value(found: Mapping[str, Estimate], key: str) -> float | None:
        return found[key].value if key in found else None

    rows = tuple(TrickRow(one, value(alone, one), value(last, one)) for one in tricks)
    return TrickTable("", rows, total=value(total, ""))


def both_ends(tricks: Sequence[str], sides: Mapping[Tricks, Seeds], compare: Compare) -> TrickTable:
    """The table of the design ``both-ends``: whether each trick's effect on the baseline differs from that on all the
    others.

    With two tricks, both differ by the same amount, so there is one test.
    """
    asked = tricks[:1] if len(tricks) == 2 else tricks
    found, planned = family({one: differs(one, tricks) for one in asked}, sides, compare)
    table = ends(tricks, sides, compare)
    rows = tuple(replace(row, differs=found.get(row.trick if row.trick in asked else asked[0])) for row in table.rows)
    return replace(table, design="both-ends", rows=rows, families={"differs": planned})


def full_factorial(tricks: Sequence[str], sides: Mapping[Tricks, Seeds], compare: Compare) -> TrickTable:
    """The table of the design ``factorial``: Shapley values and all interactions, each kind a family of its own."""
    values, single = family({one: shapley(one, tricks) for one in tricks}, sides, compare)
    groups = [group for size in range(2, len(tricks) + 1) for group in combinations(tricks, size)]
    found, joint = family({group: interaction(group, tricks) for group in groups}, sides, compare)
    interactions = tuple(Interaction(group, found[group]) for group in groups if group in found)
    table = ends(tricks, sides, compare)
    rows = tuple(
        replace(row, shapley=values.get(row.trick), strongest=strongest(row.trick, interactions)) for row in table.rows
    )
    families = {"shapley": single, "interactions": joint}
    return replace(table, design="factorial", rows=rows, interactions=interactions, families=families)


def screened(tricks: Sequence[str], sides: Mapping[Tricks, Seeds], compare: Compare) -> TrickTable:
    """The table of a screening design: main effects, and what they are aliased with."""
    found, planned = family({one: main_effect(one, sides) for one in tricks}, sides, compare)
    rows = tuple(TrickRow(one, main=found.get(one), aliases=aliases(one, tricks, sides)) for one in tricks)
    return TrickTable("screen", rows, families={"main": planned})


def strongest(trick: str, interactions: Sequence[Interaction]) -> Interaction | None:
    """The interaction with the smallest p-value that includes the trick; the largest if there are no p-values."""

    def rank(one: Interaction) -> tuple[float, float]:
        return (1.0 if one.effect.p is None else one.effect.p, -abs(one.effect.value))

    return min((one for one in interactions if trick in one.tricks), key=rank, default=None)
