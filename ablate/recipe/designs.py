"""Rules that make variants out of a list of tricks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DesignRow:
    """A row that a design asks for: its parent and the tricks that it has on top of that, or without."""

    name: str
    parent: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


Design = Callable[[Sequence[str], str], list[DesignRow]]
"""The names of the tricks, in order, and of the baseline → the rows after the baseline."""


def ladder(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick on top of all before it, a row each, named after the trick."""
    return [DesignRow(trick, below, (trick,)) for below, trick in zip((baseline, *tricks), tricks, strict=False)]


DESIGNS: dict[str, Design] = {"ladder": ladder}
"""The designs that a recipe (``design: {ladder: [a, b]}``) and ``--design`` may name."""


def design_rule(name: str) -> str | None:
    """The rule that a design's name breaks; None for a known one."""
    return None if name in DESIGNS else f"is not a design that there is. Available: {', '.join(DESIGNS)}."
