"""The report as a PDF: text and tables on A4, each figure on a page of its own size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from ablate.printable import visible
from ablate.report.column import Cells
from ablate.report.figure import (
    GREY,
    INK,
    MINUS,
    SIZE,
    SMALL,
    drawing,
    fitted,
    font_families,
    make_readable,
    new_figure,
    text_width,
)
from ablate.report.page.contents import Page
from ablate.report.page.provenance import provenance
from ablate.report.page.sentences import sentences
from ablate.report.wording import plain

WIDTH, HEIGHT, EDGE = 8.27, 11.69, 0.7
"""Inches of a page and its margins."""

ROOM = WIDTH - 2 * EDGE
POINT = 1 / 72
LEADING = 1.45
"""Distance of lines, in sizes of the font."""

CODE = 7.0
"""Points of the recipe's text; a letter of it is 0.603 wide."""

GAP = 0.14
SMALLEST = 4.5
"""Inches between columns, and the smallest size of a table's text in points; what is still wider is cut."""


class Sheets:
    """Pages that are filled from top to bottom."""

    def __init__(self, pages: PdfPages) -> None:
        self.pages = pages
        self.page: Figure | None = None
        self.y = 0.0

    def line(self, parts: Sequence[tuple[float, str]], size: float = SIZE, **style: Any) -> None:
        """Texts at distances in inches from the left margin, in a line of their own."""
        height = size * LEADING * POINT
        if self.page is None or self.y + height > HEIGHT - EDGE:
            self.end()
            self.page, self.y = new_figure(WIDTH, HEIGHT), EDGE
        for x, text in parts:
            self.page.text((EDGE + x) / WIDTH, 1 - self.y / HEIGHT, text, size=size, va="top", **style)
        self.y += height

    def text(self, text: str, size: float = SIZE, indent: float = 0.0, **style: Any) -> None:
        """A paragraph; lines break at spaces."""
        for line in broken(text, ROOM - indent, size):
            self.line([(indent, line)], size, **style)

    def heading(self, text: str) -> None:
        """A heading, which stays with what follows."""
        if self.y + 1.0 > HEIGHT - EDGE:
            self.end()
        self.y += 0.12 if self.page is not None else 0.0
        self.line([(0.0, text)], 12.0, weight="bold")

    def cells(self, cells: Cells) -> None:
        """A table, as small as its widest row needs."""
        rows = [
            [text.replace("-", MINUS) if a == "right" else text for text, a in zip(row, cells.alignments, strict=True)]
            for row in cells.rows
        ]

        def measured(size: float) -> list[float]:
            heads = (text_width(title, size, bold=True) for title in cells.titles)
            columns = [max((text_width(row[i], size) for row in rows), default=0.0) for i in range(len(cells.titles))]
            return [max(one) for one in zip(heads, columns, strict=True)]

        between = GAP * (len(cells.titles) - 1)
        size = max(min(SMALL, SMALL * (ROOM - between) / max(sum(measured(SMALL)), 0.1)), SMALLEST)
        widths = measured(size)
        over = sum(widths) + between - ROOM
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] -= max(over, 0.0)
        self._row(cells.titles, widths, cells, size, bold=True)
        for row in rows:
            self._row(row, widths, cells, size)

    def _row(
        self, texts: Sequence[str], widths: Sequence[float], cells: Cells, size: float, *, bold: bool = False
    ) -> None:
        parts, x = [], 0.0
        for text, width, alignment in zip(texts, widths, cells.alignments, strict=True):
            shown = fitted(text, max(width, 0.3) + 0.01, size, bold=bold)
            before = width - text_width(shown, size, bold=bold) if alignment == "right" else 0.0
            parts.append((x + before, shown))
            x += width + GAP
        self.line(parts, size, weight="bold" if bold else "normal", color=GREY if bold else INK)

    def add(self, figure: Figure) -> None:
        """Write a figure as a page of its size."""
        make_readable(figure)
        self.pages.savefig(figure)  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Write the page."""
        if self.page is not None:
            self.add(self.page)
            self.page, self.y = None, 0.0


def broken(text: str, width: float, size: float) -> list[str]:
    """Lines of at most ``width`` inches."""
    lines, line = list[str](), ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return [fitted(one, width, size) for one in (*lines, line)]


def render(page: Page) -> bytes:
    """The file's contents, without dates and versions."""
    buffer = io.BytesIO()
    unknown = dict.fromkeys(("CreationDate", "ModDate", "Creator", "Producer"))
    with drawing(), PdfPages(buffer, metadata={"Title": page.document.title, **unknown}) as pages:
        sheets = Sheets(pages)
        sheets.line([(0.0, fitted(page.document.title, ROOM, 18.0, bold=True))], 18.0, weight="bold")
        if page.document.description:
            sheets.text(page.document.description, color=GREY)
        for line in page.state():
            sheets.text(line, weight="bold")
        sheets.heading("Verdicts")
        for one in sentences(page.table):
            sheets.text(str(one))
        sheets.heading("Table")
        sheets.cells(page.document.narrow(coarse=False).cells())
        for line in page.document.lines():
            sheets.text(line, SMALL, color=GREY)
        if (second := page.document.second()) is not None:
            sheets.cells(second.cells)
            for line in second.lines:
                sheets.text(line, SMALL, color=GREY)
        sheets.end()
        for _, figure in page.figures():
            sheets.add(figure)
        rest(sheets, page)
        sheets.end()
    return buffer.getvalue()


def rest(sheets: Sheets, page: Page) -> None:
    """What follows the figures."""
    if (settings := page.settings()).rows:
        sheets.heading("Settings that differ")
        sheets.cells(settings)
    if any(page.diagnosis.values()):
        sheets.heading("Diagnosis")
    for variant, lines in page.diagnosis.items():
        for line in lines:
            sheets.text(plain(f"{variant}: {line}"))
    cells, total = page.costs()
    sheets.heading("Cost")
    sheets.cells(cells)
    sheets.text(total, SMALL, color=GREY)
    sheets.heading("Provenance")
    for term, text in provenance(page):
        sheets.text(f"{term}: {text}")
    if text := visible(page.study.recipe.text):
        sheets.heading("Recipe")
        most = int(ROOM / (CODE * 0.603 * POINT))
        for line in text.rstrip().expandtabs().splitlines():
            for start in range(0, max(len(line), 1), most):
                part = line[start : start + most]
                sheets.line([(0.0, part)], CODE, family=["DejaVu Sans Mono", *font_families()])
