"""Numbers as text: enough digits to tell rows apart, the same decimals down a column."""

from __future__ import annotations

import math
from collections.abc import Iterable

UNKNOWN = "–"
"""Stands where a number is not known."""

MOST_PLACES = 8


def places(values: Iterable[float | None], digits: int = 4) -> int:
    """Decimal places that show ``digits`` significant digits of the smallest value, values a thousand times smaller than the largest aside."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return digits - 1
    smallest = min(size for size in sizes if size >= max(sizes) / 1000)
    return max(0, digits - 1 - math.floor(math.log10(smallest)))


def fixed(value: float | None, decimals: int, sign: str = "") -> str:
    """``0.002244``; powers of ten where fixed decimals would show too little (1.234e-07) or too much. ``sign="+"`` shows both signs."""
    if value is None:
        return UNKNOWN
    if value == 0:
        value, sign = 0.0, ""
    hidden = 0 < abs(value) < 10 ** (1 - decimals) and not sign
    if hidden or decimals > MOST_PLACES or abs(value) >= 1e7:
        return f"{value:{sign}.3e}"
    return f"{value:{sign}.{decimals}f}"


def fixed_column(values: Iterable[float | None], digits: int = 4) -> list[str]:
    """All values with the same decimals."""
    listed = list(values)
    decimals = places(listed, digits)
    return [fixed(value, decimals) for value in listed]


def deviation(value: float | None) -> str:
    """A standard deviation to two significant digits."""
    if value is None:
        return UNKNOWN
    return fixed(value, places([value], 2)) if value else "0"


def difference(delta: float | None, low: float | None, high: float | None, decimals: int) -> str:
    """``-0.00041 [-0.00062, -0.00020]``, or the difference alone; empty where there is none."""
    if delta is None:
        return ""
    interval = f" [{fixed(low, decimals, '+')}, {fixed(high, decimals, '+')}]" if low is not None else ""
    return fixed(delta, decimals, "+") + interval


def probability(value: float | None) -> str:
    """A p-value to three decimals."""
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def count(value: float | None) -> str:
    """A whole number, or the nearest one."""
    return UNKNOWN if value is None else f"{round(value)}"


def memory(value: float | None) -> str:
    """Bytes in the unit that reads best, a thousand to each."""
    if value is None:
        return UNKNOWN
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def duration(value: float | None) -> str:
    """Seconds, to a tenth from ten on."""
    return UNKNOWN if value is None else f"{value:.{1 if value >= 10 else 2}f}"
