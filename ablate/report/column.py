"""A column of a table, the kinds of columns (text, numbers, means, spreads, differences), and the same columns in fewer
characters, for narrow terminals and pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ablate.evidence.paired import LEVEL
from ablate.evidence.table import Row, Table
from ablate.report.numbers import (
    UNKNOWN,
    deviation,
    difference,
    duration,
    fixed,
    fixed_column,
    mean_places,
    places,
    ratio,
    ratio_places,
    row_places,
    times,
    typical,
    within,
)
from ablate.report.wording import cover, failed_text, plain, titled, verdict_text

PARTIAL = "†"
"""Marks a mean over fewer seeds than planned. It comes before the number, so that decimals stay aligned."""

UNLIKE = "‡"
"""Marks a difference from a parent that differs from the variant in more than the variant's change."""

FOUND = "*"
"""Marks a significant interaction."""

BOUNDS = {
    "delta_parent": ("ci_low", "ci_high"),
    "delta_baseline": ("baseline_ci_low", "baseline_ci_high"),
    "interaction": ("interaction_low", "interaction_high"),
}
"""Differences, and the ends of their symmetric intervals."""

Value = str | float | None
Alignment = Literal["left", "right"]


@dataclass(frozen=True)
class Column:
    """One column. ``value`` gives a row's plain value, for sorting and data files; ``texts`` gives the cells of all
    rows, with the same decimals.
    """

    key: str
    title: str
    alignment: Alignment
    value: Callable[[Row], Value]
    texts: Callable[[Table], list[str]]


class Cells(NamedTuple):
    """A table as text, the input of every renderer."""

    titles: list[str]
    rows: list[list[str]]
    alignments: list[Alignment]
    bold: frozenset[tuple[int, int]] = frozenset()
    """Cells in bold: (row, column)."""
    breaks: frozenset[int] = frozenset()
    """Rows above which a new group begins."""


def cells(table: Table, columns: Sequence[Column]) -> Cells:
    """Titles, rows of text and alignments."""
    texts = [column.texts(table) for column in columns]
    rows = [list(row) for row in zip(*texts, strict=True)]
    return Cells([plain(column.title) for column in columns], rows, [column.alignment for column in columns])


def words(key: str, title: str, value: Callable[[Row], str | None]) -> Column:
    """A column of text."""
    return Column(key, title, "left", value, lambda table: [plain(value(row) or "") for row in table.rows])


def numbers(
    key: str, title: str, value: Callable[[Row], float | None], texts: Callable[[Iterable[float | None]], list[str]]
) -> Column:
    """A column of numbers."""
    return Column(key, title, "right", value, lambda table: texts(value(row) for row in table.rows))


def each(text: Callable[[float | None], str]) -> Callable[[Iterable[float | None]], list[str]]:
    """Format numbers one by one."""
    return lambda values: [text(value) for value in values]


def outcome(key: str, title: str, name: str) -> Column:
    """A column of means of a loss or a metric; those over fewer seeds than planned are marked. A variant of which seeds
    failed has its median.
    """

    def texts(table: Table) -> list[str]:
        medians = [row.median if name == table.compare.metric else None for row in table.rows]
        values = [row.value(name) if each is None else each for row, each in zip(table.rows, medians, strict=True)]
        shown = fixed_column(values, [row.sd(name) for row in table.rows])
        shown = [text if each is None else f"median {text}" for text, each in zip(shown, medians, strict=True)]
        marked = (row.partial and row.value(name) is not None for row in table.rows)
        return [PARTIAL + text if mark else text for text, mark in zip(shown, marked, strict=True)]

    return Column(key, title, "right", lambda row: row.value(name), texts)


def alike(table: Table) -> bool:
    """Whether the standard deviations of all rows are over as many seeds (or folds) as planned."""
    counts = {row.repeats for row in table.rows if row.value(table.compare.metric) is not None}
    return counts == {table.planned} and table.planned > 1


def spread(table: Table) -> Column:
    """``± sd`` of the compared metric, with ``(n)`` unless all rows have the same number of seeds."""
    name, same = table.compare.metric, alike(table)

    def text(row: Row) -> str:
        if row.value(name) is None:
            return ""
        parts = [f"±{deviation(row.sd(name))}"] if row.sd(name) is not None else []
        return " ".join(parts if same else [*parts, f"({repeats(row)})"])

    title = "± sd" if same else "± sd (n)"
    return Column("spread", title, "right", lambda row: row.sd(name), lambda table: [text(row) for row in table.rows])


def repeats(row: Row) -> str:
    """What a standard deviation is over: ``5`` seeds, ``3/5`` of them, ``5×10`` seeds and folds, ``1×10`` folds of one
    seed.
    """
    n = f"{row.repeats}/{row.tally.planned}" if row.partial else f"{row.repeats}"
    if row.folds is None:
        return n
    return f"1×{n}" if row.tally.unit == "fold" else f"{n}×{row.folds}"


Number = Callable[[Row], float | None]


def delta(key: str, title: str, value: Number, low: Number | None = None, high: Number | None = None) -> Column:
    """Differences in the compared metric, with an interval if there is one; of logarithms, shown as ratios."""

    def texts(table: Table) -> list[str]:
        written = ratio if table.compare.log else difference
        return [
            (UNLIKE if row.unlike and key == "delta_parent" and value(row) is not None else "")
            + written(value(row), low(row) if low else None, high(row) if high else None, decimals)
            for row, decimals in zip(table.rows, delta_places(table, value, low, high), strict=True)
        ]

    return Column(key, title, "right", value, texts)


def delta_places(
    table: Table, value: Number, low: Number | None = None, high: Number | None = None, *, coarse: bool = False
) -> list[int]:
    """Decimals of each row's difference: those of the metric, or up to two more to show two significant digits of half
    the intervals; ``coarse``: at most one of these, but two of the differences.
    """
    rows, name = table.rows, table.compare.metric
    if table.compare.log:
        halves = [_half(low(row), high(row)) if low and high else None for row in rows]
        return [ratio_places([half or value(row)]) for row, half in zip(rows, halves, strict=True)]
    means, sds, values = ([get(row) for row in rows] for get in (lambda r: r.value(name), lambda r: r.sd(name), value))
    bounds = [(low(row), high(row)) if low and high else (None, None) for row in rows]
    halves = [_half(below, above) for below, above in bounds]

    def decimals(chosen: Sequence[int]) -> int:
        base = mean_places([means[i] for i in chosen], [sds[i] for i in chosen])
        own, widths = [values[i] for i in chosen], [halves[i] for i in chosen]
        found = max(base, min(base + 2, typical(widths if any(widths) else own, 2)))
        return min(found, max(places(widths, 1), places(own, 2))) if coarse else found

    # rows without a difference, such as the baseline, vary as their means do
    spans = [half if delta is not None else sd for delta, half, sd in zip(values, halves, sds, strict=True)]
    return row_places([m if v is None else v for v, m in zip(values, means, strict=True)], spans, decimals)


def _half(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else high / 2 - low / 2


def starred(column: Column) -> Column:
    """Interactions, with a mark before significant ones."""

    def texts(table: Table) -> list[str]:
        found = (row.interaction_p is not None and row.interaction_p < LEVEL for row in table.rows)
        return [FOUND + text if mark else text for mark, text in zip(found, column.texts(table), strict=True)]

    return replace(column, texts=texts)


def deviations(key: str, name: str) -> Column:
    """Standard deviations of a metric."""
    return numbers(key, f"{titled(name)} sd", lambda row: row.sd(name), each(deviation))


def timed(key: str, title: str, count_key: str) -> Column:
    """Epochs or seconds to a value; ``– (3/5)`` if not every trained run reached it."""

    def text(row: Row) -> str:
        value, there = row.reached.get(key), row.reached.get(count_key)
        if there is None:
            return UNKNOWN
        if value is None:
            return f"{UNKNOWN} ({round(there)}/{row.tally.trained})"
        return duration(value) if key.endswith("_seconds") else f"{value:g}"

    return Column(
        key, title, "right", lambda row: row.reached.get(key), lambda table: [text(row) for row in table.rows]
    )


def published(key: str, title: str, name: str) -> Column:
    """A published value of a metric."""
    return numbers(
        key, title, lambda row: (row.published or {}).get(name), lambda values: blank(fixed_column(list(values)))
    )


def blank(texts: list[str]) -> list[str]:
    """The texts, empty for unknown numbers."""
    return ["" if text == UNKNOWN else text for text in texts]


def narrow(table: Table, columns: Sequence[Column], *, coarse: bool = False) -> list[Column]:
    """The columns with half-widths instead of intervals; ``coarse``: also with fewer digits and words."""
    return [_narrow(table, column, coarse) for column in columns]


def _narrow(table: Table, column: Column, coarse: bool) -> Column:
    if column.key in BOUNDS and any(half_width(row, column.key) is not None for row in table.rows):
        covered = cover(table.rows) if column.key == "delta_parent" else "95%"
        title = f"{column.title} {'×÷' if table.compare.log else '±'} {covered}"
        return replace(column, title=title, texts=lambda table: half_widths(table, column, coarse))
    if column.key == "verdict":
        log = table.compare.log
        return replace(column, texts=lambda table: [short_verdict(row, coarse, log=log) for row in table.rows])
    return column


def half_widths(table: Table, column: Column, coarse: bool) -> list[str]:
    """``-0.00041 ± 0.00021`` for each row, with its mark."""
    values = [getattr(row, column.key) for row in table.rows]
    halves = [half_width(row, column.key) for row in table.rows]
    low, high = BOUNDS[column.key]
    decimals = delta_places(
        table,
        lambda row: getattr(row, column.key),
        lambda row: getattr(row, low),
        lambda row: getattr(row, high),
        coarse=coarse,
    )
    texts = []
    for value, half, full, digits in zip(values, halves, column.texts(table), decimals, strict=True):
        mark = full[:1] if full[:1] in (UNLIKE, FOUND) else ""
        if table.compare.log:
            end = "" if half is None else f" ×÷{within(half)}"
            texts.append("" if value is None else f"{mark}×{times(value, digits)}{end}")
            continue
        end = "" if half is None else f" ±{fixed(half, digits, '-')}"
        texts.append("" if value is None else f"{mark}{fixed(value, digits, '+')}{end}")
    return texts


def half_width(row: Row, key: str) -> float | None:
    """Half of the interval of a difference."""
    low, high = (getattr(row, name) for name in BOUNDS[key])
    return _half(low, high)


def short_verdict(row: Row, coarse: bool, *, log: bool = False) -> str:
    """``unclear (within ±0.012)``, or ``unclear``."""
    if coarse:
        return row.verdict or failed_text(row)
    return verdict_text(replace(row, detectable=None), log=log)
