"""A table as Markdown, for notes and pull requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.report.column import Cells

SPECIAL = re.compile(r"[\\`*<|~$]|\](?=[(\[])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")
"""Markdown syntax and the $ of math; not an underscore inside a word, nor a single bracket, so that the source stays
readable.
"""


def render(document: Document) -> str:
    """An aligned pipe table with the notes as a list below; the effects of tricks in the same way."""
    second = document.second()
    return block(document.cells(), document.lines()) + (
        "" if second is None else "\n" + block(second.cells, second.lines)
    )


def block(cells: Cells, notes: Sequence[str]) -> str:
    """A table and its notes."""
    from tabulate import tabulate

    body = [
        [f"**{escape(text)}**" if (i, j) in cells.bold else escape(text) for j, text in enumerate(row)]
        for i, row in enumerate(cells.rows)
    ]
    table = tabulate(
        body,
        headers=[escape(title) for title in cells.titles],
        tablefmt="pipe",
        colalign=cells.alignments if body else None,
        disable_numparse=True,
    )
    return "\n".join([table, *([""] if notes else []), *(f"- {escape(line)}" for line in notes)]) + "\n"


def escape(text: str) -> str:
    """Text with escaped Markdown syntax."""
    return SPECIAL.sub(lambda found: "\\" + found[0], text)


FORMAT = Format("md", (".md", ".markdown"), render)
