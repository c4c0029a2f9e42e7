"""Alternating timings of several ways to do the same work."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence


def alternating(ways: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of every way in every round, after one warm-up of each: all ways in turn, each round beginning with the
    next one.
    """
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    for first in range(rounds):
        for i in range(len(ways)):
            place = (first + i) % len(ways)
            start = time.perf_counter()
            ways[place]()
            times[place].append(time.perf_counter() - start)
    return times


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def machine() -> str:
    """One line about this machine."""
    import os

    import torch

    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
