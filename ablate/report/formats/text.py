"""A table as aligned plain text, for pipes and log files."""

from __future__ import annotations

from ablate.report.document import Document, Format


def render(document: Document) -> str:
    """Titles, a rule, a line per row, and the notes below. Nothing is escaped."""
    from tabulate import tabulate

    cells, notes = document.cells(), document.lines()
    table = tabulate(
        cells.rows,
        headers=cells.titles,
        tablefmt="simple",
        colalign=cells.alignments if cells.rows else None,
        disable_numparse=True,
    )
    lines = [line.rstrip() for line in table.splitlines()]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


FORMAT = Format("text", (".txt",), render)
