"""A table as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.report.column import Alignment, Cells

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
    head = "".join(cell("th", name, a) for name, a in zip(cells.titles, cells.alignments, strict=True))
    rows = [
        "".join(
            cell("td", minus(t) if a == "right" else t, a, bold=(i, j) in cells.bold)
            for j, (t, a) in enumerate(zip(row, cells.alignments, strict=True))
        )
        for i, row in enumerate(cells.rows)
    ]
    body = "".join("</tbody>\n<tbody>\n" * (i in cells.breaks) + f"<tr>{row}</tr>\n" for i, row in enumerate(rows))
    items = "".join(f"<li>{escape(line)}</li>\n" for line in notes)
    table = f"<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    return table + (f"<ul>\n{items}</ul>\n" if items else "")


def cell(tag: str, text: str, alignment: Alignment, *, bold: bool = False) -> str:
    """One cell."""
    style = ' style="text-align: right"' if alignment == "right" else ""
    content = f"<b>{escape(text)}</b>" if bold else escape(text)
    return f"<{tag}{style}>{content}</{tag}>"


def minus(number: str) -> str:
    """A number with a minus sign for its hyphen."""
    return number.replace("-", "−")


FORMAT = Format("html", (".html", ".htm"), render)
