"""A table as a spreadsheet: one sheet to read, one with every value; needs the extra ``xlsx``."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

    from ablate.report.column import Value

WIDEST = 60
"""Characters of a column; more are in the cell, but not all to be seen at once."""

LONGEST = 32_767
"""Characters that a cell holds."""


def render(document: Document) -> bytes:
    """The file's contents: a sheet ``table`` for readers with the notes below, a sheet ``data`` with all values at
    full precision, and a sheet ``tricks`` with the effects of tricks if the design has them.

    Text is text, whatever it begins with: no formula is ever run. Raises ValueError if openpyxl is not installed.
    """
    from ablate.report.columns import available, data_keys

    try:
        from openpyxl import Workbook
    except ModuleNotFoundError:
        raise ValueError("xlsx requires openpyxl. Install it with: pip install 'ablate-runner[xlsx]'") from None
    table, chosen = document.table, document.columns
    book = Workbook()
    sheet = book.active
    sheet.title = "table"
    text = document.cells()
    values: list[list[Value]] = [[column.value(row) for column in chosen] for row in table.rows]
    _head(sheet, text.titles)
    for line, (words, row) in enumerate(zip(text.rows, values, strict=True), start=2):
        for column, (word, value) in enumerate(zip(words, row, strict=True), start=1):
            _fill(sheet.cell(line, column), word, value, text.alignments[column - 1])
    for line, sentence in enumerate(document.lines(), start=len(text.rows) + 3):
        _write(sheet.cell(line, 1), sentence)
    _widths(sheet, [[title, *(row[i] for row in text.rows)] for i, title in enumerate(text.titles)])
    if (second := document.second()) is not None:
        tricks = book.create_sheet("tricks")
        _head(tricks, second.cells.titles)
        for line, texts in enumerate([*second.cells.rows, [], *([one] for one in second.lines)], start=2):
            for column, word in enumerate(texts, start=1):
                _write(tricks.cell(line, column), word)
        _widths(tricks, [[title, *(r[i] for r in second.cells.rows)] for i, title in enumerate(second.cells.titles)])
    known = available(table)
    keys = data_keys(table)
    data = book.create_sheet("data")
    _head(data, keys)
    for line, each in enumerate(table.rows, start=2):
        for column, key in enumerate(keys, start=1):
            _write(data.cell(line, column), known[key].value(each))
    _widths(data, [[key] for key in keys])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _head(sheet: Worksheet, titles: Sequence[str]) -> None:
    from openpyxl.styles import Font

    for column, title in enumerate(titles, start=1):
        cell = sheet.cell(1, column)
        _write(cell, title)
        cell.font = Font(bold=True)
    sheet.freeze_panes = "B2"


def _fill(cell: Cell, word: str, value: Value, alignment: str) -> None:
    """A number where the reader sees nothing but a number, with as many decimals; else the text."""
    from openpyxl.styles import Alignment

    from ablate.report.figure import MINUS

    number = re.fullmatch(r"[-+]?[\d,]+(?:\.(\d+))?", word.replace(MINUS, "-"))
    if number and isinstance(value, int | float):
        cell.value = value
        cell.number_format = ("#,##0" if "," in word else "0") + (f".{'0' * len(number[1])}" if number[1] else "")
    else:
        _write(cell, word)
    cell.alignment = Alignment(horizontal=alignment)


def _write(cell: Any, value: Value) -> None:
    if isinstance(value, str):
        from ablate.report.wording import plain

        cell.value = plain(value)[:LONGEST]
        cell.data_type = "s"  # '=1+1' stays what somebody wrote
        cell.quotePrefix = True
    elif value is not None:
        cell.value = value


def _widths(sheet: Worksheet, columns: Sequence[Sequence[str]]) -> None:
    from openpyxl.utils import get_column_letter

    for i, texts in enumerate(columns, start=1):
        sheet.column_dimensions[get_column_letter(i)].width = min(WIDEST, max(map(len, texts)) + 2)


FORMAT = Format("xlsx", (".xlsx",), render, binary=True)
