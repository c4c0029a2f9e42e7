"""Outliers: pairs that are far from the others of their comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ablate.evidence.paired import Differences

FAR = 5.0
"""Median absolute deviations (as multiples of a normal's standard deviation) from the median that count as far."""

FEWEST = 5
"""The fewest pairs for which outliers are reported: of three, two are always closer to each other than to the third."""

NORMAL = 1.4826
"""A normal's standard deviation in median absolute deviations."""


def far_out(samples: Sequence[Differences]) -> list[list[int]]:
    """The indices of outliers in each comparison.

    A few pairs can agree by chance, so each comparison uses at least the median deviation of all comparisons.
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
