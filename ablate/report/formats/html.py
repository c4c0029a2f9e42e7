"""A table as a self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.report.column import Alignment, Cells, Value

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .8em; text-align: left; white-space: nowrap }
thead tr { border-top: 2px solid; border-bottom: 1px solid }
tbody { border-bottom: 1px solid } tbody:last-child { border-bottom: 2px solid }
ul { padding-left: 1.2em; color: #555 }
"""


def render(document: Document) -> str:
    """A whole page: title, description, table, the notes as a list, and the effects of tricks."""
    title, description, second = document.title, document.description, document.second()
    about = f"<p>{escape(description)}</p>\n" if description else ""
    blocks = block(document.cells(), document.lines()) + ("" if second is None else block(second.cells, second.lines))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{about}{blocks}</body>\n</html>\n"
    )


def block(cells: Cells, notes: Sequence[str]) -> str:
    """A table and its notes."""
    return grid(cells) + items(notes)


def items(lines: Sequence[str]) -> str:
    """The lines as a list; nothing if there are none."""
    listed = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f"<ul>\n{listed}</ul>\n" if listed else ""


def grid(
    cells: Cells,
    *,
    caption: str = "",
    heads: bool = False,
    attributes: Sequence[str] = (),
    values: Sequence[Sequence[Value]] = (),
) -> str:
    """A table. ``heads``: the first cell of a row is its header. ``attributes`` are those of each row, ``values`` the
    numbers of its cells, for sorting.
    """
    head = "".join(cell("th", name, a, ' scope="col"') for name, a in zip(cells.titles, cells.alignments, strict=True))
    body = ""
    for i, row in enumerate(cells.rows):
        parts = []
        for j, (text, a) in enumerate(zip(row, cells.alignments, strict=True)):
            tag, more = ("th", ' scope="row"') if heads and j == 0 else ("td", "")
            number = values[i][j] if values else None
            if isinstance(number, int | float) and math.isfinite(number):
                more += f' data-value="{number!r}"'
            parts.append(cell(tag, minus(text) if a == "right" else text, a, more, bold=(i, j) in cells.bold))
        line = f"<tr{' ' + attributes[i] if attributes else ''}>{''.join(parts)}</tr>\n"
        body += "</tbody>\n<tbody>\n" * (i in cells.breaks) + line
    titled = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return f"<table>\n{titled}<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def cell(tag: str, text: str, alignment: Alignment, more: str = "", *, bold: bool = False) -> str:
    """One cell; ``more`` are further attributes."""
    style = ' style="text-align: right"' if alignment == "right" else ""
    content = f"<b>{escape(text)}</b>" if bold else escape(text)
    return f"<{tag}{more}{style}>{content}</{tag}>"


def minus(number: str) -> str:
    """A number with a minus sign for its hyphen."""
    return number.replace("-", "−")


FORMAT = Format("html", (".html", ".htm"), render)
