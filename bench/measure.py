"""Alternating timings of two ways to do the same work."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable


def pairs(ours: Callable[[], object], other: Callable[[], object], count: int = 20) -> tuple[float, float, float]:
    """Run both in turn ``count`` times after one warm-up each. Returns (median seconds of ours, of the other, median of other/ours by pair)."""
    ours()
    other()
    times: list[tuple[float, float]] = []
    for i in range(count):
        first, second = (ours, other) if i % 2 == 0 else (other, ours)
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        end = time.perf_counter()
        a, b = middle - start, end - middle
        times.append((a, b) if i % 2 == 0 else (b, a))
    mine, theirs = zip(*times, strict=True)
    return statistics.median(mine), statistics.median(theirs), statistics.median(b / a for a, b in times)


def machine() -> str:
    """One line about this machine."""
    import os

    import torch

    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
