"""When seeds train as a stack: a choice from the settings alone, before the first step and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ablate.recipe.settings import Settings


def in_stacks(seeds: Sequence[int], width: int) -> list[tuple[int, ...]]:
    """Seeds in stacks of at most ``width``, as even as they go: five in stacks of three are 3 + 2."""
    stacks = -(-len(seeds) // max(width, 1))
    size, more = divmod(len(seeds), stacks)
    ends = [0]
    for i in range(stacks):
        ends.append(ends[-1] + size + (i < more))
    return [tuple(seeds[a:b]) for a, b in pairwise(ends)]


def stack_width(
    settings: Settings, seeds: int, device: str = "cpu", *, input_shape: tuple[int, ...] | None = None
) -> int:
    """How many of a variant's seeds should train together."""
    if settings.stack == "off":
        return 1
    return seeds if settings.stack == "auto" else min(settings.stack, seeds)
