"""A chart with a line for each variant: names at the left, an axis in the middle, columns of numbers at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.evidence.gather import Row, Table
from ablate.report.column import delta_places
from ablate.report.columns import available
from ablate.report.figure import (
    GREY,
    INK,
    MINUS,
    SIZE,
    SMALL,
    TITLE,
    VERDICT_COLOURS,
    drawable,
    fitted,
    new_figure,
    set_ticks,
    text_width,
    titled_study,
    wrapped,
)
from ablate.report.numbers import difference, ratio
from ablate.report.wording import cover, failed_text, seeds_between, status_text

ROW_HEIGHT, HEAD, FOOT, EDGE, GAP = 0.42, 0.86, 0.62, 0.2, 0.22
NAMES_WIDEST, AXIS_WIDTH = 2.4, 3.5
"""Inches."""


@dataclass(frozen=True)
class Texts:
    """A column of texts at the right, a text and its color for each row."""

    title: str
    cells: Sequence[tuple[str, str]]


def row_chart(
    rows: Sequence[Row],
    study: str,
    title: str,
    remark: str,
    label: str,
    limits: tuple[float, float],
    columns: Sequence[Texts],
) -> tuple[Figure, Axes]:
    """The figure and the axes of an empty chart between two values of ``label``. Row i is at y = i from the top.

    ``title`` follows the study's name. Columns without a text are left out. Call it under `drawing`.
    """
    columns = [column for column in columns if any(text for text, _ in column.cells)]
    names = [fitted(row.variant, NAMES_WIDEST, SIZE, bold=True) for row in rows]
    about = [fitted(row.description, NAMES_WIDEST, SMALL) for row in rows]
    measured = [text_width(name, SIZE, bold=True) for name in names] + [text_width(text, SMALL) for text in about]
    left = EDGE + max(measured, default=0.0) + GAP
    widths = [max(text_width(text, SMALL) for text in (c.title, *(text for text, _ in c.cells))) for c in columns]
    width = left + AXIS_WIDTH + sum(GAP + w for w in widths) + EDGE
    remarks = wrapped(remark, width - 2 * EDGE, SMALL)
    head = HEAD + 0.14 * remarks.count("\n")
    height = head + ROW_HEIGHT * len(rows) + FOOT
    figure = new_figure(width, height)
    figure.text(
        EDGE / width,
        1 - 0.12 / height,
        titled_study(study, title, width - 2 * EDGE),
        size=TITLE,
        weight="bold",
        va="top",
    )
    figure.text(EDGE / width, 1 - 0.38 / height, remarks, size=SMALL, color=GREY, va="top", linespacing=1.3)
    axes = figure.add_axes((left / width, FOOT / height, AXIS_WIDTH / width, ROW_HEIGHT * len(rows) / height))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*drawable(*limits, label))
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    set_ticks(axes.xaxis, *limits)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="#EEEEEE", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)

    def place(x: float, line: float) -> tuple[float, float]:
        """Inches from the left, and rows from the top, as fractions of the figure."""
        return x / width, 1 - (head + ROW_HEIGHT * (line + 0.5)) / height

    for i, (name, text) in enumerate(zip(names, about, strict=True)):
        x, y = place(EDGE, i)
        lift = 0.085 / height if text else 0.0
        figure.text(x, y + lift, name, weight="bold", va="center")
        figure.text(x, y - lift, text, size=SMALL, color=GREY, va="center")
    x = left + AXIS_WIDTH
    for column, wide in zip(columns, widths, strict=True):
        x += GAP
        figure.text(*place(x, -0.75), column.title, size=SMALL, color=GREY, va="center")
        for i, (text, colour) in enumerate(column.cells):
            figure.text(*place(x, i), text, size=SMALL, color=colour, va="center")
        x += wide
    return figure, axes


def verdict_colour(row: Row) -> str:
    """The color of a row's difference."""
    return VERDICT_COLOURS.get(row.verdict or "", GREY)


def differences(table: Table, rows: Sequence[Row]) -> Texts:
    """Differences from the parent with their intervals."""
    decimals = dict(
        zip(
            (row.variant for row in table.rows),
            delta_places(table, lambda row: row.delta_parent, lambda row: row.ci_low, lambda row: row.ci_high),
            strict=True,
        )
    )
    written = ratio if table.compare.log else difference
    texts = [
        written(row.delta_parent, row.ci_low, row.ci_high, decimals[row.variant]).replace("-", MINUS) for row in rows
    ]
    intervals = any(row.ci_low is not None for row in rows)
    return Texts(f"Δ parent [{cover(rows)} CI]" if intervals else "Δ parent", [(text, INK) for text in texts])


def interactions(table: Table, rows: Sequence[Row]) -> Texts:
    """Interactions of pairs as in the table."""
    column = available(table)["interaction"]
    texts = dict(zip((row.variant for row in table.rows), column.texts(table), strict=True))
    intervals = any(row.interaction_low is not None for row in rows)
    cells = [(texts[row.variant].replace("-", MINUS), INK) for row in rows]
    return Texts("Interaction [95% CI]" if intervals else "Interaction", cells)


def verdicts(rows: Sequence[Row]) -> Texts:
    """The verdict of each row, or its status."""

    def cell(row: Row) -> tuple[str, str]:
        if row.status != "finished" and row.verdict in (None, "unstable"):
            return failed_text(row) or status_text(row), VERDICT_COLOURS["hurts"] if row.verdict else GREY
        return row.verdict or failed_text(row), verdict_colour(row)

    return Texts("Verdict", [(fitted(text, 1.6, SMALL), colour) for text, colour in map(cell, rows)])


def seeds_text(rows: Sequence[Row]) -> str:
    """``5 seeds``, ``1 seed``, ``3 to 5 seeds`` or ``5 folds of 1 seed`` of the rows that have results."""
    text = seeds_between([row.seeds for row in rows if row.seeds] or [0])
    folds = max((row.repeats for row in rows if row.tally.unit == "fold"), default=0)
    return f"{folds} fold{'s' if folds != 1 else ''} of {text}" if folds else text
