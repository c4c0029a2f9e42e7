"""False alarms, coverage and power of the effects of tricks that combine several variants: a part of bench/calibration.py.

The weights are those of `ablate.evidence.factorial`, and so are the tests and their correction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np

from ablate.evidence.factorial import (
    Sample,
    Tricks,
    Weights,
    combined,
    differs,
    estimates,
    interaction,
    main_effect,
    shapley,
)
from ablate.recipe.designs import DESIGNS
from bench.null_studies import AGAIN, NOISE, Bools, Floats, head, limit, line, percent, rate_text

Family = Mapping[str, Weights]


def both(tricks: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All groups of two tricks or more."""
    for size in range(2, len(tricks) + 1):
        yield from combinations(tricks, size)


def worth_of_one(chosen: Tricks) -> float:
    """A planted effect of the first trick."""
    return -float("a" in chosen)


def worth_of_two(chosen: Tricks) -> float:
    """A planted interaction of the first two tricks."""
    return -float({"a", "b"} <= chosen)


@dataclass(frozen=True)
class Kind:
    """A family of effects in a design; ``contrasts`` gives their weights from the tricks and the variants. The first of
    them has an effect if one is planted by ``worth``.
    """

    design: str
    tricks: str
    contrasts: Callable[[Sequence[str], Sequence[Tricks]], Family]
    worth: Callable[[Tricks], float] = worth_of_one

    @property
    def variants(self) -> list[Tricks]:
        return [frozenset(), *(frozenset(row.tricks) for row in DESIGNS[self.design].rows(self.tricks, "baseline"))]


def values_of_tricks(tricks: Sequence[str], variants: Sequence[Tricks]) -> Family:
    return {one: shapley(one, tricks) for one in tricks}


def interactions(tricks: Sequence[str], variants: Sequence[Tricks]) -> Family:
    return {"".join(group): interaction(group, tricks) for group in both(tricks)}


def alone_minus_last(tricks: Sequence[str], variants: Sequence[Tricks]) -> Family:
    return {one: differs(one, tricks) for one in tricks}


def main_effects(tricks: Sequence[str], variants: Sequence[Tricks]) -> Family:
    return {one: main_effect(one, variants) for one in tricks}


def of_pairs(tricks: Sequence[str], variants: Sequence[Tricks]) -> Family:
    """The interactions of the design ``pairs``: of two tricks, without the others."""
    return {one + other: interaction((one, other), (one, other)) for one, other in combinations(tricks, 2)}


KINDS = {
    "Shapley values, 3 tricks": Kind("factorial", "abc", values_of_tricks),
    "Shapley values, 5 tricks": Kind("factorial", "abcde", values_of_tricks),
    "interactions of factorial, 3 tricks": Kind("factorial", "abc", interactions, worth_of_two),
    "interactions of factorial, 5 tricks": Kind("factorial", "abcde", interactions, worth_of_two),
    "interactions of pairs, 4 tricks": Kind("pairs", "abcd", of_pairs, worth_of_two),
    "alone − last of both-ends, 6 tricks": Kind("both-ends", "abcdef", alone_minus_last, worth_of_two),
    "main effects of screen, 7 tricks": Kind("screen", "abcdefg", main_effects),
    "main effects of screen, 11 tricks": Kind("screen", "abcdefghijk", main_effects),
    "main effects of screen-foldover, 6 tricks": Kind("screen-foldover", "abcdef", main_effects),
}


@dataclass(frozen=True)
class FamilyCell:
    """One arrangement; ``noisy``: the last variant has 100 times the variance of the others. ``size``: the planted effect
    in standard deviations of a variant's seeds.
    """

    kind: str
    noise: str
    n: int
    noisy: bool = False
    size: float = 0.0
    studies: int = 2_500
    again: bool = False

    def __str__(self) -> str:
        return f"{self.kind}, {self.noise}{', one variant 100 times' if self.noisy else ''}, {self.n}"


CELLS = [
    FamilyCell(kind, noise, n) for kind in KINDS for noise in ("normal", "heavy tails", "skewed") for n in (3, 5, 10)
]
BREAKING = [FamilyCell(kind, "skewed", n, noisy=True) for kind in KINDS for n in (3, 5, 10)]
"""Known to break any t-test, like those of `bench.null_studies.BREAKING`."""

POWER = [FamilyCell(kind, "normal", 5, size=2.0) for kind in KINDS]


def judged(cell: FamilyCell) -> tuple[Bools, Bools]:
    """Which effects are significant, and whose intervals hold 0, (studies, effects) each."""
    kind = KINDS[cell.kind]
    variants = kind.variants
    place = {chosen: i for i, chosen in enumerate(variants)}
    weights = {
        key: {place[v]: w for v, w in each.items() if w} for key, each in kind.contrasts(kind.tricks, variants).items()
    }
    draw = np.random.default_rng([int(cell.again), *str(cell).encode()])
    values = NOISE[cell.noise](draw, (cell.studies, len(variants), cell.n))
    values[:, -1] *= 10.0 if cell.noisy else 1.0
    values += cell.size * np.array([kind.worth(chosen) for chosen in variants])[:, None]
    found = [study(weights, one) for one in values]
    return np.array([one[0] for one in found]), np.array([one[1] for one in found])


def study(weights: Mapping[str, Mapping[int, float]], values: Floats) -> tuple[list[bool], list[bool]]:
    """Of one study, (variants, n)."""
    samples = {
        key: Sample(combined(list(each.values()), values[list(each)]), True, True) for key, each in weights.items()
    }
    effects = [one for one in estimates(samples)[0].values() if one.low is not None and one.high is not None]
    return [one.significant for one in effects], [one.low <= 0 <= one.high for one in effects]


def alarm_rate(cell: FamilyCell) -> float:
    """The fraction of studies with a false alarm."""
    return float(judged(cell)[0].any(-1).mean())


def false_alarms(title: str, cells: Sequence[FamilyCell]) -> list[str]:
    lines = [
        f"### {title}",
        "",
        f"2,500 null studies each, in %; false alarms per family, at most {percent(limit(2_500))} is 5 % and two standard errors",
        f"({percent(limit(AGAIN))} with 10,000). Coverage of the 95 % intervals: on average, and of the effect that has the lowest.",
        "",
        *head("effects, noise, seeds", "effects", "false alarms", "coverage", "lowest"),
    ]
    for cell in cells:
        found, covered = judged(cell)
        again = partial(alarm_rate, replace(cell, studies=AGAIN, again=True))
        wrong = rate_text(float(found.any(-1).mean()), cell.studies, again)
        by_effect = covered.mean(0)
        lines.append(line(cell, found.shape[1], wrong, percent(by_effect.mean()), percent(by_effect.min())))
    return lines


def power() -> list[str]:
    lines = [
        "### Power for effects of tricks",
        "",
        "An effect of 2 sd of a variant's seeds, five seeds, normal noise, 2,500 studies each: found, after Holm over the family, in %.",
        "",
        *head("effects", "found"),
    ]
    return [*lines, *(line(cell.kind, percent(judged(cell)[0][:, 0].mean())) for cell in POWER)]


def sections() -> Iterator[Sequence[str]]:
    yield false_alarms("Effects of tricks: false alarms and coverage", CELLS)
    yield false_alarms("Effects of tricks in arrangements known to break any t-test", BREAKING)
    yield power()
