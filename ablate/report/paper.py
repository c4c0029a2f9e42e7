"""A table as papers print it: standard deviations in the cells, the best results in bold, stars, groups of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ablate.evidence.table import Row, Table
from ablate.recipe.measured import LOSSES
from ablate.report.column import Column
from ablate.report.numbers import column_places, fixed
from ablate.report.style import Style

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Levels of adjusted p-values, and their marks."""


def styled(table: Table, columns: Sequence[Column], style: Style) -> list[Column]:
    """The columns in this style."""
    found = list(columns)
    if style.pm:
        found = [with_spread(column, metric_of(table, column.key)) for column in found if column.key != "spread"]
    if style.stars:
        found = [with_stars(column) if column.key == "delta_parent" else column for column in found]
    return found


def metric_of(table: Table, key: str) -> str | None:
    """The loss or metric that a column shows the mean of."""
    if key in LOSSES:
        return key
    name = key.removeprefix("metric_")
    return name if name in table.metrics else None


def with_spread(column: Column, name: str | None) -> Column:
    """Means with their standard deviations, to the same decimals."""
    if name is None:
        return column

    def texts(table: Table) -> list[str]:
        means, sds = [row.value(name) for row in table.rows], [row.sd(name) for row in table.rows]
        return [
            plain if sd is None else f"{plain} ± {fixed(sd, digits, '-')}"
            for plain, sd, digits in zip(column.texts(table), sds, column_places(means, sds), strict=True)
        ]

    return replace(column, texts=texts)


def with_stars(column: Column) -> Column:
    """Differences with the stars of their adjusted p-values."""

    def texts(table: Table) -> list[str]:
        return [text + stars(row) if text else text for text, row in zip(column.texts(table), table.rows, strict=True)]

    return replace(column, texts=texts)


def stars(row: Row) -> str:
    """One to three stars, or none."""
    p = row.p_adjusted
    return "" if p is None else next((mark for level, mark in STARS if p < level), "")


def bold_cells(table: Table, columns: Sequence[Column]) -> frozenset[tuple[int, int]]:
    """The cells (row, column) with the best results of the compared metric."""
    places = [i for i, column in enumerate(columns) if metric_of(table, column.key) == table.compare.metric]
    return frozenset((i, place) for i, row in enumerate(table.rows) if row.best for place in places)


def parent_breaks(table: Table) -> frozenset[int]:
    """The rows above which a group begins: the parent differs from that of the row before. None, if no group has two
    rows.
    """
    parents = [row.parent for row in table.rows]
    starts = frozenset(i for i in range(1, len(parents)) if parents[i] != parents[i - 1])
    return starts if len(starts) + 1 < len(parents) else frozenset()


def legend(table: Table, columns: Sequence[Column], style: Style) -> list[str]:
    """What bold and stars mean, in one line."""
    keys = {column.key for column in columns}
    compared = [row for row in table.rows if row.best is not None]
    lines = []
    if style.bold and bold_cells(table, columns):
        lines.append(
            f"Bold: best {table.compare.metric}, and variants that are not significantly worse (paired t-test against "
            f"the best, Holm-corrected over {len(compared) - 1}, 5% level)."
        )
    if style.stars and "delta_parent" in keys and any(stars(row) for row in table.rows):
        lines.append("*, **, ***: Δ parent with p (Holm) < 0.05, 0.01, 0.001.")
    return [" ".join(lines)] if lines else []
