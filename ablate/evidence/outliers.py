"""Pairs that are far from the others of their comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ablate.evidence.paired import Differences

FAR = 5.0
"""Median absolute deviations (as multiples of a normal's standard deviation) from the median that count as far."""

FEWEST = 5
"""Pairs below which nothing can be called far: three of them always have two close ones and a third."""

NORMAL = 1.4826
"""A normal's standard deviation in median absolute deviations."""


def far_out(samples: Sequence[Differences]) -> list[list[int]]:
    """For each comparison, the places of pairs that are far out.

    A few pairs can agree by chance, so a comparison's own deviation counts only where it is above the median of all comparisons'.
    """
    deviations = [deviation(sample) for sample in samples]
    floor = float(np.median([d for d, s in zip(deviations, samples, strict=True) if len(s) >= FEWEST] or [0.0]))
    found = []
    for sample, own in zip(samples, deviations, strict=True):
        limit = FAR * max(own, floor)
        far = np.abs(sample - np.median(sample)) > limit
        found.append([int(i) for i in np.flatnonzero(far)] if limit > 0 and len(sample) >= FEWEST else [])
    return found


def deviation(sample: Differences) -> float:
    """The median absolute deviation from the median, scaled to a normal's standard deviation."""
    return NORMAL * float(np.median(np.abs(sample - np.median(sample))))
