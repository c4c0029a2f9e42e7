"""When seeds train as a stack: a choice from the settings alone, before the first step and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

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


def work(settings: Settings, input_shape: tuple[int, ...] | None) -> float | None:
    """Millions of multiplications in one seed's forward pass over a batch, for the library's mlp and convnet; None where it cannot be told."""
    from ablate.models.convnet import Convnet
    from ablate.models.mlp import Mlp

    model = settings.model.options
    if input_shape is None:
        return None
    if isinstance(model, Mlp):
        widths = (prod(input_shape), *model.hidden)
        dense = sum(a * b for a, b in pairwise(widths))
        return settings.batch_size * dense / 1e6
    if isinstance(model, Convnet):
        sides, channels, total = input_shape[1:], (input_shape[0], *model.channels), 0
        for i, (kernel, pool) in enumerate(zip(model.each("kernels"), model.each("pools"), strict=True)):
            if model.padding == "none":
                sides = tuple(side - kernel + 1 for side in sides)
            total += prod(sides) * channels[i] * channels[i + 1] * kernel ** len(sides)
            sides = tuple(side // max(pool, 1) for side in sides)
        widths = (channels[-1] * prod(sides), *model.hidden)
        return settings.batch_size * (total + sum(a * b for a, b in pairwise(widths))) / 1e6
    return None
