"""Numbers as text: as many digits as their standard deviation justifies, the same decimals in a column if possible."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from statistics import median_high

UNKNOWN = "–"
"""Stands for an unknown number."""

MOST_PLACES = 8

MOST_LOG = math.log(1e300)
"""The largest natural logarithm of a ratio that is shown as a number."""

MOST_DIGITS = 6
"""Significant digits of the largest mean, however small the standard deviation is."""


def places(values: Iterable[float | None], digits: int = 4) -> int:
    """Decimal places that show ``digits`` significant digits of the smallest value, values a thousand times smaller
    than the largest aside.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return digits - 1
    smallest = min(size for size in sizes if size >= max(sizes) / 1000)
    return max(0, digits - 1 - math.floor(math.log10(smallest)))


def typical(values: Iterable[float | None], digits: int) -> int:
    """Decimal places that show ``digits`` significant digits of the median, without values a thousand times smaller
    than the largest.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    return places([median_high(size for size in sizes if size >= max(sizes) / 1000)] if sizes else [], digits)


def mean_places(values: Sequence[float | None], sds: Iterable[float | None] = ()) -> int:
    """Decimal places of means: two significant digits of their standard deviations, or four of the means if these are
    not known.
    """
    known = [sd for sd in sds if sd]
    if not known:
        return max(typical(values, 4), places(values, 2))
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    most = places([max(sizes)], MOST_DIGITS) if sizes else 0
    return min(max(typical(known, 2), typical(values, 2) if sizes else 0), most)


def row_places(
    values: Sequence[float | None], sds: Sequence[float | None], rule: Callable[[Sequence[int]], int]
) -> list[int]:
    """Decimal places of each row: those of ``rule`` for the indices of all rows, except for rows that vary so much more
    than this one (those of a diverging training) that they would hide its digits.
    """
    sizes = [max(sd or 0, abs(value or 0) / 1000) for value, sd in zip(values, sds, strict=True)]
    ordered, factor = sorted(sizes), 100 if any(sds) else 1000
    counts = [bisect_right(ordered, factor * (size or ordered[-1])) for size in sizes]
    decimals = {n: rule([i for i, size in enumerate(sizes) if size <= ordered[n - 1]]) for n in set(counts)}
    return [decimals[n] for n in counts]


def column_places(values: Sequence[float | None], sds: Sequence[float | None]) -> list[int]:
    """Decimal places of each mean of a column."""
    return row_places(values, sds, lambda rows: mean_places([values[i] for i in rows], [sds[i] for i in rows]))


def fixed(value: float | None, decimals: int, sign: str = "") -> str:
    """``0.002244``; powers of ten for numbers that fixed decimals would round to 0, or that are too long. ``sign="+"``
    shows both signs.
    """
    if value is None:
        return UNKNOWN
    if value == 0:
        value, sign = 0.0, ""
    hidden = 0 < abs(value) < 0.5 * 10**-decimals and not sign
    if hidden or decimals > MOST_PLACES or abs(value) >= 1e7:
        return f"{value:{sign}.3e}"
    return f"{value:{sign}.{decimals}f}"


def fixed_column(values: Iterable[float | None], sds: Iterable[float | None] = ()) -> list[str]:
    """All values, with the same decimals unless some vary far more than others."""
    listed = list(values)
    return list(map(fixed, listed, column_places(listed, list(sds) or [None] * len(listed))))


def deviation(value: float | None) -> str:
    """A standard deviation to two significant digits."""
    if value is None:
        return UNKNOWN
    return fixed(value, places([value], 2)) if value else "0"


def difference(delta: float | None, low: float | None, high: float | None, decimals: int) -> str:
    """``-0.00041 [-0.00062, -0.00020]``, or the difference alone; empty if there is none."""
    if delta is None:
        return ""
    interval = f" [{fixed(low, decimals, '+')}, {fixed(high, decimals, '+')}]" if low is not None else ""
    return fixed(delta, decimals, "+") + interval


def factor(value: float) -> float:
    """The ratio of a difference of natural logarithms; infinite if it is too large for a number."""
    return math.exp(value) if value < MOST_LOG else math.inf


def ratio_places(logs: Sequence[float | None]) -> int:
    """Decimal places of ratios whose logarithms are known to these sizes, or spread by these half-widths: two
    significant digits of the smallest of them, at least two and at most five.
    """
    return min(max(places(logs, 2), 2), 5)


def ratio(delta: float | None, low: float | None, high: float | None, decimals: int) -> str:
    """``×0.93 [0.90, 0.97]`` from differences of natural logarithms, or the ratio alone; empty if there is none."""
    if delta is None:
        return ""
    ends = "" if low is None or high is None else f" [{times(low, decimals)}, {times(high, decimals)}]"
    return f"×{times(delta, decimals)}{ends}"


def times(value: float, decimals: int = 2) -> str:
    """The ratio of a difference of natural logarithms as text."""
    return fixed(factor(value), decimals)


def within(bound: float) -> str:
    """``1.12`` for a bound of the logarithm: the factor, with two significant digits of what it exceeds 1 by."""
    return times(bound, ratio_places([math.expm1(min(bound, MOST_LOG))]))


def probability(value: float | None) -> str:
    """A p-value to three decimals."""
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def percent(value: float | None) -> str:
    """``-12.5``; empty if it is not known."""
    return "" if value is None else fixed(value, 1, "+")


def share(value: float | None) -> str:
    """A fraction in percent, as an integer; empty if it is not known."""
    return "" if value is None else f"{100 * value:.0f}%"


def count(value: float | None) -> str:
    """An integer, or the nearest one."""
    return UNKNOWN if value is None else f"{round(value)}"


def tenths(value: float | None) -> str:
    """A number with one decimal below 100 if it needs it, else the nearest integer."""
    return UNKNOWN if value is None else f"{round(value, 1 if value < 100 else 0):.15g}"


def memory(value: float | None) -> str:
    """Bytes in MB or GB, with a factor of 1000."""
    if value is None:
        return UNKNOWN
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def duration(value: float | None) -> str:
    """Seconds; from ten on, with one decimal."""
    return UNKNOWN if value is None else f"{value:.{1 if value >= 10 else 2}f}"
