"""Lines of ``metrics.jsonl`` as points of curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.tracking.limits import METRICS_PER_CALL, legal_key

NOT_CURVES = ("epoch", "time")


@dataclass(frozen=True)
class Point:
    """One value of one metric. ``time`` is in milliseconds since 1970, ``step`` an epoch."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Stretch:
    """A stretch of curves for one call: whole epochs up to and including ``epoch``.

    ``not_finite`` maps metrics to the first epoch where they were NaN or infinite. Such values are left out of the curves: MLflow would draw infinity
    as 1.8e308, which flattens all the rest, and has no way to draw NaN.
    """

    points: tuple[Point, ...]
    epoch: int
    not_finite: Mapping[str, int]


def stretches(lines: Iterable[Mapping[str, Any]], after: int | None) -> Iterator[Stretch]:
    """The curves beyond epoch ``after`` (None: from the beginning), as many whole epochs at once as one call takes."""
    points: list[Point] = []
    not_finite: dict[str, int] = {}
    last = after
    for line in lines:
        epoch = int(line["epoch"])
        if last is not None and epoch <= last:
            continue
        new: list[Point] = []
        for name, value in line.items():
            if name in NOT_CURVES or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                new.append(Point(legal_key(name), float(value), int(line["time"] * 1000), epoch))
            else:
                not_finite.setdefault(name, epoch)
        if points and last is not None and len(points) + len(new) > METRICS_PER_CALL:
            yield Stretch(tuple(points), last, not_finite)
            points, not_finite = [], {}
        points += new
        last = epoch
    if last is not None and last != after:
        yield Stretch(tuple(points), last, not_finite)
