"""A table as plain aligned text, for terminals and pipes."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.column import Cells


def text(cells: Cells, sentences: Sequence[str]) -> str:
    """Aligned columns below a ruled head, then the sentences; nothing is escaped."""
    from tabulate import tabulate

    table = tabulate(
        cells.rows,
        headers=cells.titles,
        tablefmt="simple",
        colalign=cells.alignments if cells.rows else None,
        disable_numparse=True,
    )
    lines = [line.rstrip() for line in table.splitlines()]
    return "\n".join([*lines, *([""] if sentences else []), *sentences]) + "\n"
