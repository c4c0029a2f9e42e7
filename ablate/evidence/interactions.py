"""Whether one change is worth the same on top of another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ablate.evidence.paired import Differences

Values = Mapping[int, float]
"""A metric by seed."""


def interaction(neither: Values, first: Values, second: Values, both: Values) -> tuple[Differences, list[int]]:
    """(both − first) − (second − neither) for each seed that all four rows have, (n,), and these seeds.

    What the second change is worth on top of the first, less what it is worth alone: 0 where the two simply add up. An effect like any other: give it to
    `ablate.evidence.paired.effect`.
    """
    seeds = sorted(neither.keys() & first.keys() & second.keys() & both.keys())
    extra = [(both[seed] - first[seed]) - (second[seed] - neither[seed]) for seed in seeds]
    return np.array(extra, dtype=np.float64), seeds
