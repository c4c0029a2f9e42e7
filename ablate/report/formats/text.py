"""A table as aligned plain text, for pipes and log files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.report.column import Cells


def render(document: Document) -> str:
    """Titles, a rule, a line per row, the notes below, and the effects of tricks likewise. Nothing is escaped."""
    document = document.without_bold()
    second = document.second()
    return block(document.cells(), document.lines()) + (
        "" if second is None else "\n" + block(second.cells, second.lines)
    )


def block(cells: Cells, notes: Sequence[str]) -> str:
    """A table and its notes."""
    from tabulate import tabulate

    table = tabulate(
        cells.rows,
        headers=cells.titles,
        tablefmt="simple",
        colalign=cells.alignments if cells.rows else None,
        disable_numparse=True,
    )
    lines = [line.rstrip() for line in table.splitlines()]
    for place in sorted(cells.breaks, reverse=True):
        lines.insert(place + 2, lines[1])
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


FORMAT = Format("text", (".txt",), render)
