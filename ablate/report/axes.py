"""Ticks: few of them, and plain numbers on logarithmic axes too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axis import Axis

MINUS = "−"


def number(value: float, spacing: float | None = None) -> str:
    """A tick's label: ``0.002``, ``1,500``, ``2e-06``; with as many decimals as ticks so far apart need."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-4 or size >= 1e6:
        text = f"{value:.2g}" if spacing is None else f"{value:.{_digits(size, spacing)}e}"
    elif spacing is None:
        text = f"{value:,.6g}" if size >= 1 else f"{value:.6f}".rstrip("0")
    else:
        text = f"{value:,.{max(0, -math.floor(math.log10(spacing) + 1e-9))}f}"
    return text.replace("-", MINUS)


def _digits(size: float, spacing: float) -> int:
    return max(0, math.floor(math.log10(size)) - math.floor(math.log10(spacing) + 1e-9))


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round values between two positive numbers, evenly spread on a logarithmic axis: 1, 2, 5 …, or powers of ten where
    these are enough.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        ticks = [float(f"{tick:.3g}") for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    every = -(-len(ticks) // most)
    return ticks[::every]


def linear_ticks(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Round values between two numbers, evenly spread; ``whole``: only whole numbers."""
    from matplotlib.ticker import MaxNLocator

    # without 2.5 as a step, neighbours always differ in the decimals of their distance
    return [float(tick) for tick in MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)]


def set_ticks(axis: Axis, low: float, high: float, *, log: bool = False, most: int = 6, whole: bool = False) -> None:
    """Set ticks between two numbers of an axis whose scale is set."""
    ticks = log_ticks(low, high, most) if log else linear_ticks(low, high, most, whole=whole)
    if log and len(ticks) < 3:
        ticks, log = [tick for tick in linear_ticks(low, high, 4) if tick > 0], False
    spacing = None if log or len(ticks) < 2 else ticks[1] - ticks[0]
    inside: Sequence[float] = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(inside, [number(tick, spacing) for tick in inside])
    axis.set_ticks([], minor=True)
