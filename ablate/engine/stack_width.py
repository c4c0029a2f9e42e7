"""How many seeds to train in parallel as a stack: decided before the first step from the compute cost of a network,
without torch if the settings tell it.

Measured with ``python -m bench.seeds``: one CPU thread of an x86-64 machine with two cores, torch 2.13, an epoch of
training and validation. Small networks are faster in stacks, because most of their time is call overhead; large ones
are slower, because their values no longer fit in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log

import numpy as np

from ablate.data.memory import free_bytes
from ablate.engine.compute_cost import work_of_settings
from ablate.models.convnet import Convnet
from ablate.models.mlp import Mlp
from ablate.models.size import physical_memory
from ablate.recipe.settings import Settings

WIDTHS = (2, 5, 10, 20)

GAINS: Mapping[str, Sequence[tuple[float, tuple[float, ...]]]] = {
    "mlp": (
        (0.4, (1.26, 2.31, 3.19, 3.70)),
        (1.2, (1.07, 1.85, 1.91, 2.00)),
        (4.1, (1.11, 1.23, 1.26, 1.26)),
        (18.0, (1.11, 1.17, 1.30, 1.30)),
        (68.0, (0.92, 1.02, 0.77, 0.77)),
    ),
    "convnet": (
        (0.3, (1.40, 2.52, 3.34, 3.50)),
        (1.4, (1.10, 1.44, 1.52, 1.63)),
        (5.5, (0.99, 1.26, 1.29, 1.29)),
        (13.0, (1.01, 1.10, 1.12, 1.12)),
        (45.0, (0.93, 1.03, 0.79, 0.79)),
        (495.0, (0.79, 0.61, 0.58, 0.58)),
    ),
    "other": (
        (0.4, (0.82, 1.59, 2.21, 2.50)),
        (1.4, (0.92, 1.21, 1.45, 1.50)),
        (7.0, (0.83, 0.87, 0.94, 0.94)),
        (200.0, (0.89, 0.67, 0.59, 0.59)),
    ),
}
"""Kind of network → (millions of multiplications in a seed's forward pass over a batch, speedups for `WIDTHS`).

The speedup is the time of the seeds one by one divided by that of the stack. ``other`` are networks under vmap."""

PAYS = 1.08
"""Minimum speedup for stacking seeds instead of running them as separate jobs."""

COPIES = 6
"""Copies of the weights in memory: weights, gradients, two moments, the best weights, and one during copying."""


def stack_width(
    settings: Settings,
    seeds: int,
    device: str = "cpu",
    *,
    input_shape: tuple[int, ...] | None = None,
    work: float | None = None,
    parameters: int | None = None,
) -> int:
    """How many of a variant's ``seeds`` to train in parallel, from 1 to ``seeds``; `in_stacks` divides them.

    ``stack: auto`` chooses the smallest stacks within 5 % of the shortest time, or 1 if the compute cost
    (`work_of_settings`) is unknown. With ``parameters`` (of one network), a stack uses at most a quarter of
    the machine's memory, on CUDA half of the free memory. On CUDA, all seeds are stacked if they fit (not measured).
    """
    if settings.stack == "off" or seeds == 1:
        return 1
    if settings.stack != "auto":
        return min(settings.stack, seeds)
    width = seeds
    if not device.startswith("cuda"):
        cost = [stack_cost(settings, n, input_shape=input_shape, work=work) for n in range(seeds + 1)]
        total = {n: sum(cost[len(stack)] for stack in in_stacks(range(seeds), n)) for n in range(1, seeds + 1)}
        least = min(total.values())
        width = min(n for n, value in total.items() if value <= 1.05 * least) if least * PAYS <= total[1] else 1
    if parameters:
        limit = free_bytes(device) // 2 if device.startswith("cuda") else physical_memory() // 4
        width = max(1, min(width, limit // memory_of(settings, parameters)))
    return width


def memory_of(settings: Settings, parameters: int) -> int:
    """Bytes of all copies of one seed's weights in a training."""
    return parameters * COPIES * (8 if settings.precision == "float64" else 4)


def stack_cost(
    settings: Settings, width: int, *, input_shape: tuple[int, ...] | None = None, work: float | None = None
) -> float:
    """The time of a stack of ``width`` seeds on a CPU, relative to one seed; ``width`` if unknown."""
    model = settings.model.options
    kind = "mlp" if isinstance(model, Mlp) else "convnet" if isinstance(model, Convnet) else "other"
    if work is None and input_shape is not None:
        work = work_of_settings(settings, input_shape)
    if work is None or width <= 1:
        return float(width)
    sizes = [log(size) for size, _ in GAINS[kind]]
    gains = [np.interp(log(max(work, 1e-9)), sizes, [row[i] for _, row in GAINS[kind]]) for i in range(len(WIDTHS))]
    return float(width / np.interp(log(width), [0.0, *map(log, WIDTHS)], [1.0, *gains]))


def in_stacks(seeds: Sequence[int], width: int) -> list[tuple[int, ...]]:
    """Seeds in stacks of at most ``width``, as even as possible: five seeds in stacks of three are 3 + 2."""
    stacks = -(-len(seeds) // max(width, 1))
    size, more = divmod(len(seeds), stacks)
    ends = [i * size + min(i, more) for i in range(stacks + 1)]
    return [tuple(seeds[a:b]) for a, b in pairwise(ends)]
