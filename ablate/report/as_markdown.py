"""A table in Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ablate.report.column import Cells

SPECIAL = re.compile(r"[\\`*<|~]|\](?=[(\[])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")
"""Markdown syntax; not an underscore inside a word, nor a single bracket, so that the source stays readable."""


def markdown(cells: Cells, sentences: Sequence[str]) -> str:
    """An aligned pipe table with the sentences as a list below."""
    from tabulate import tabulate

    body = [[escape(text) for text in row] for row in cells.rows]
    table = tabulate(
        body,
        headers=[escape(title) for title in cells.titles],
        tablefmt="pipe",
        colalign=cells.alignments if body else None,
        disable_numparse=True,
    )
    return "\n".join([table, *([""] if sentences else []), *(f"- {escape(line)}" for line in sentences)]) + "\n"


def escape(text: str) -> str:
    """Text with escaped Markdown syntax."""
    return SPECIAL.sub(lambda found: "\\" + found[0], text)
