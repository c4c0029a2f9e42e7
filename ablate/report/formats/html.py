"""A table as a self-contained HTML page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.report.column import Alignment

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .8em; text-align: left; white-space: nowrap }
thead tr { border-top: 2px solid; border-bottom: 1px solid } tbody { border-bottom: 2px solid }
ul { padding-left: 1.2em; color: #555 }
"""


def render(document: Document) -> str:
    """A whole page: title, description, table, and the notes as a list."""
    cells, title, description = document.cells(), document.title, document.description
    head = "".join(cell("th", name, a) for name, a in zip(cells.titles, cells.alignments, strict=True))
    rows = [
        "".join(cell("td", minus(t) if a == "right" else t, a) for t, a in zip(row, cells.alignments, strict=True))
        for row in cells.rows
    ]
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    table = f"<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>"
    about = f"<p>{escape(description)}</p>\n" if description else ""
    items = "".join(f"<li>{escape(line)}</li>\n" for line in document.lines())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{about}{table}\n"
        + (f"<ul>\n{items}</ul>\n" if items else "")
        + "</body>\n</html>\n"
    )


def cell(tag: str, text: str, alignment: Alignment) -> str:
    """One cell."""
    style = ' style="text-align: right"' if alignment == "right" else ""
    return f"<{tag}{style}>{escape(text)}</{tag}>"


def minus(number: str) -> str:
    """A number with a minus sign for its hyphen."""
    return number.replace("-", "−")


FORMAT = Format("html", (".html", ".htm"), render)
