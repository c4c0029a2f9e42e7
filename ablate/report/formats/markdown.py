"""A table as Markdown, for notes and pull requests."""

from __future__ import annotations

import re

from ablate.report.document import Document, Format

SPECIAL = re.compile(r"[\\`*<|~$]|\](?=[(\[])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")
"""Markdown syntax and the $ of math; not an underscore inside a word, nor a single bracket, so that the source stays
readable.
"""


def render(document: Document) -> str:
    """An aligned pipe table with the notes as a list below."""
    from tabulate import tabulate

    cells, notes = document.cells(), document.lines()

    body = [[escape(text) for text in row] for row in cells.rows]
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
