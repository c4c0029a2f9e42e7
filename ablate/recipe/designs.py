"""Designs: rules that generate variants from a list of tricks.

Variants are named after their tricks, so that a name means the same training in every design of the same tricks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

FULL = "full"
"""The name of the leave-one-out variant that has all tricks."""


@dataclass(frozen=True)
class DesignRow:
    """A variant of a design: its parent and all of its tricks, in order.

    ``of``: the two variants whose effects this one combines, for estimating their interaction.
    """

    name: str
    parent: str
    tricks: tuple[str, ...]
    of: tuple[str, ...] = ()


Rule = Callable[[Sequence[str], str], list[DesignRow]]
"""The names of the tricks, in order, and of the baseline → the variants after the baseline, parents first."""


@dataclass(frozen=True)
class Design:
    """A rule and its limits."""

    rows: Rule
    least: int
    """Smallest number of tricks."""
    count: Callable[[int], int]
    """Number of tricks → number of variants, with the baseline."""


def ladder(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick added to all of the previous ones."""
    parents = (baseline, *tricks)
    return [DesignRow(trick, parents[i], tuple(tricks[: i + 1])) for i, trick in enumerate(tricks)]


def leave_one_out(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """All tricks together, and all but one of them."""
    without = [DesignRow(f"without {one}", FULL, tuple(trick for trick in tricks if trick != one)) for one in tricks]
    return [DesignRow(FULL, baseline, tuple(tricks)), *without]


def one_at_a_time(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone on the baseline."""
    return [DesignRow(f"only {trick}", baseline, (trick,)) for trick in tricks]


def pairs(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone, and each pair, to see whether the effect of a trick depends on the other one."""
    both = [
        DesignRow(f"{one} + {other}", f"only {one}", (one, other), (f"only {one}", f"only {other}"))
        for one, other in combinations(tricks, 2)
    ]
    return [*one_at_a_time(tricks, baseline), *both]


DESIGNS: dict[str, Design] = {
    "ladder": Design(ladder, 1, lambda n: 1 + n),
    "leave-one-out": Design(leave_one_out, 2, lambda n: 2 + n),
    "one-at-a-time": Design(one_at_a_time, 1, lambda n: 1 + n),
    "pairs": Design(pairs, 2, lambda n: 1 + n + n * (n - 1) // 2),
}
"""The designs for ``design: {ladder: [a, b]}`` in a recipe and for ``--design``."""


def design_rule(name: str) -> str | None:
    """An error message for an unknown design; None for a known one."""
    return None if name in DESIGNS else f"is not a known design. Available: {', '.join(DESIGNS)}."


def count_rule(name: str, tricks: int, most: int) -> str | None:
    """An error message if the design cannot be used with ``tricks`` tricks and at most ``most`` variants, else None."""
    design = DESIGNS[name]
    if tricks < design.least:
        return f"requires at least {design.least} trick{'s' if design.least > 1 else ''}."
    if design.count(tricks) > most:
        return f"generates {design.count(tricks)} variants from {tricks} tricks; the maximum is {most}."
    return None
