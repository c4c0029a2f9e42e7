"""One column of a table, and the kinds of columns that there are: text, numbers, means, spreads, differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ablate.evidence.paired import LEVEL
from ablate.evidence.table import Row, Table
from ablate.report.numbers import UNKNOWN, deviation, difference, duration, fixed_column, places
from ablate.report.wording import plain, titled

PARTIAL = "†"
"""Marks a mean over fewer seeds than were asked for. It stands before the number, so that decimals stay aligned."""

UNLIKE = "‡"
"""Marks a difference to a parent that is unlike the row in more than the row's change."""

FOUND = "*"
"""Marks an interaction that is more than chance."""

Value = str | float | None
Alignment = Literal["left", "right"]


@dataclass(frozen=True)
class Column:
    """One column. ``value`` gives a row's plain value, for sorting and data files; ``texts`` gives the cells of all rows, so that decimals agree."""

    key: str
    title: str
    alignment: Alignment
    value: Callable[[Row], Value]
    texts: Callable[[Table], list[str]]


class Cells(NamedTuple):
    """A table as text: what every renderer starts from."""

    titles: list[str]
    rows: list[list[str]]
    alignments: list[Alignment]


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
    """A column of means of a loss or a metric; those over fewer seeds than planned carry the mark."""

    def texts(table: Table) -> list[str]:
        shown = fixed_column(row.value(name) for row in table.rows)
        marked = (row.partial and row.value(name) is not None for row in table.rows)
        return [PARTIAL + text if mark else text for text, mark in zip(shown, marked, strict=True)]

    return Column(key, title, "right", lambda row: row.value(name), texts)


def spread(name: str) -> Column:
    """``± sd (n)`` of the compared metric."""

    def text(row: Row) -> str:
        if row.value(name) is None:
            return ""
        n = f"({repeats(row)})"
        return f"±{deviation(row.sd(name))} {n}" if row.sd(name) is not None else n

    return Column(
        "spread", "± sd (n)", "right", lambda row: row.sd(name), lambda table: [text(row) for row in table.rows]
    )


def repeats(row: Row) -> str:
    """What a deviation is over: ``5`` seeds, ``3/5`` of them, ``5×10`` seeds and folds, ``1×10`` folds of one seed."""
    n = f"{row.repeats}/{row.tally.planned}" if row.partial else f"{row.repeats}"
    if row.folds is None:
        return n
    return f"1×{n}" if row.tally.unit == "fold" else f"{n}×{row.folds}"


Number = Callable[[Row], float | None]


def delta(key: str, title: str, value: Number, low: Number | None = None, high: Number | None = None) -> Column:
    """Differences in the compared metric, as fine as the metric itself is shown, or finer where they need it; with an interval if there is one."""

    def texts(table: Table) -> list[str]:
        decimals = delta_places(table, value)
        return [
            (UNLIKE if row.unlike and key == "delta_parent" and value(row) is not None else "")
            + difference(value(row), low(row) if low else None, high(row) if high else None, decimals)
            for row in table.rows
        ]

    return Column(key, title, "right", value, texts)


def delta_places(table: Table, value: Number) -> int:
    """Decimals of differences: as many as the metric itself is shown with, or more where they need them."""
    base = places(row.value(table.compare.metric) for row in table.rows)
    return max(base, min(base + 2, places((value(row) for row in table.rows), 2)))


def starred(column: Column) -> Column:
    """Interactions with a mark before those that are found."""

    def texts(table: Table) -> list[str]:
        found = (row.interaction_p is not None and row.interaction_p < LEVEL for row in table.rows)
        return [FOUND + text if mark else text for mark, text in zip(found, column.texts(table), strict=True)]

    return replace(column, texts=texts)


def deviations(key: str, name: str) -> Column:
    """Standard deviations of a metric."""
    return numbers(key, f"{titled(name)} sd", lambda row: row.sd(name), each(deviation))


def timed(key: str, title: str, count_key: str) -> Column:
    """Epochs or seconds to a mark; ``3/5`` where not every run came there."""

    def text(row: Row) -> str:
        value, there = row.reached.get(key), row.reached.get(count_key)
        if there is None:
            return UNKNOWN
        planned = row.tally.planned * (row.folds or 1 if row.tally.unit == "seed" else 1)
        if value is None:
            return f"{round(there)}/{planned}"
        return duration(value) if key.endswith("_seconds") else f"{value:g}"

    return Column(
        key, title, "right", lambda row: row.reached.get(key), lambda table: [text(row) for row in table.rows]
    )


def published(key: str, title: str, name: str) -> Column:
    """What a publication gives for a metric."""
    return numbers(
        key, title, lambda row: (row.published or {}).get(name), lambda values: blank(fixed_column(list(values)))
    )


def blank(texts: list[str]) -> list[str]:
    """Leave out what nobody claims."""
    return ["" if text == UNKNOWN else text for text in texts]
