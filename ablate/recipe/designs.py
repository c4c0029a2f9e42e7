"""Rules that make variants out of a list of tricks.

A row's name says what is on in it, so that the same name means the same training in every design of the same tricks. All names can be typed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

FULL = "full"
"""The row of leave-one-out that has all tricks."""


@dataclass(frozen=True)
class DesignRow:
    """A row that a design asks for: its parent and all tricks that are on in it, in order.

    ``of``: the two rows whose effects this one puts together, so that an interaction can be asked for.
    """

    name: str
    parent: str
    tricks: tuple[str, ...]
    of: tuple[str, ...] = ()


Rule = Callable[[Sequence[str], str], list[DesignRow]]
"""The names of the tricks, in order, and of the baseline → the rows after the baseline, parents first."""


@dataclass(frozen=True)
class Design:
    """A rule, the smallest number of tricks that it makes sense of, and the number of rows that it makes of n tricks, the baseline among them."""

    rows: Rule
    least: int
    count: Callable[[int], int]


def ladder(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick on top of all before it, a row each, named after the trick."""
    parents = (baseline, *tricks)
    return [DesignRow(trick, parents[i], tuple(tricks[: i + 1])) for i, trick in enumerate(tricks)]


def leave_one_out(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """All tricks together, and that less each of them: what removing it costs."""
    without = [DesignRow(f"without {one}", FULL, tuple(trick for trick in tricks if trick != one)) for one in tricks]
    return [DesignRow(FULL, baseline, tuple(tricks)), *without]


def one_at_a_time(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone on the baseline."""
    return [DesignRow(f"only {trick}", baseline, (trick,)) for trick in tricks]


def pairs(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone, and each pair on top of its first trick: is the second worth there what it is worth alone?"""
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
"""The designs that a recipe (``design: {ladder: [a, b]}``) and ``--design`` may name."""


def design_rule(name: str) -> str | None:
    """The rule that a design's name breaks; None for a known one."""
    return None if name in DESIGNS else f"is not a design that there is. Available: {', '.join(DESIGNS)}."


def count_rule(name: str, tricks: int, most: int) -> str | None:
    """The rule that a number of tricks breaks in a known design, where a study has at most ``most`` rows; None for a good one."""
    design = DESIGNS[name]
    if tricks < design.least:
        return f"needs at least {design.least} tricks." if design.least > 1 else "needs a trick."
    if design.count(tricks) > most:
        return f"makes {design.count(tricks)} rows of {tricks} tricks; a study has at most {most}."
    return None
