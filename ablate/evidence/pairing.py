"""How much pairing by seed gains."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ablate.evidence.confounds import judged
from ablate.evidence.paired import FLAT, unit_of
from ablate.evidence.seeds import Seeds
from ablate.recipe.variant import Compare


def pairing_factor(known: Mapping[str, Seeds], compare: Compare) -> float | None:
    """The variance of differences between unpaired seeds, divided by that of paired ones, over all comparisons with a
    parent: Σ (n − 1)(s_variant² + s_parent²) / Σ (n − 1) s_difference², over the n ≥ 2 seeds that both have.

    Unpaired, as many times more seeds give the same interval; below 1, pairing loses. None for folds of one seed, or if
    no difference varies.
    """
    samples = []
    for seeds in known.values():
        parent = known.get(seeds.variant.parent or "")
        if parent is None or seeds.unit == "fold" or "diverged" in (seeds.status, parent.status):
            continue
        mine, theirs = seeds.compared(compare), parent.compared(compare)
        common = sorted(mine.keys() & theirs.keys())
        if len(common) > 1 and judged(seeds.variant, parent.variant, compare.metric):
            samples.append(np.array([[mine[seed] for seed in common], [theirs[seed] for seed in common]]))
    unit = unit_of([value for sample in samples for value in sample.flat])
    apart = paired = size = 0.0
    for sample in samples:
        row, parent_row = sample / unit
        degrees = len(row) - 1
        apart += degrees * float(np.var(row, ddof=1) + np.var(parent_row, ddof=1))
        paired += degrees * float(np.var(row - parent_row, ddof=1))
        size += degrees * float(np.mean(row**2 + parent_row**2))
    factor = apart / paired if paired > FLAT**2 * size else math.inf
    return factor if math.isfinite(factor) else None
