"""A table as a spreadsheet: one sheet to read, one with every value; needs the extra ``xlsx``."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ablate.evidence.table import Table
from ablate.report.axes import MINUS
from ablate.report.choosing import select_columns
from ablate.report.column import Value, cells
from ablate.report.columns import available, data_keys
from ablate.report.summary import summary
from ablate.report.wording import plain

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

WIDEST = 60
"""Characters of a column; more are in the cell, but not all to be seen at once."""

LONGEST = 32_767
"""Characters that a cell holds."""


def xlsx_bytes(
    table: Table, columns: Sequence[str] | None = None, sort: str | None = None, *, notes: bool = False
) -> bytes:
    """The file's contents: a sheet ``table`` for readers with the lines below it, and a sheet ``data`` with all values in full precision.

    Text is never run as a formula. ``notes``: as in `render`. Raises ValueError for unknown columns, and if openpyxl is not installed.
    """
    try:
        from openpyxl import Workbook
    except ModuleNotFoundError:
        raise ValueError("xlsx needs openpyxl. Install it with: pip install 'ablate-runner[xlsx]'") from None
    table, chosen = select_columns(table, columns, sort)
    book = Workbook()
    sheet = book.active
    sheet.title = "table"
    text = cells(table, chosen)
    values: list[list[Value]] = [[column.value(row) for column in chosen] for row in table.rows]
    _head(sheet, text.titles)
    for line, (words, row) in enumerate(zip(text.rows, values, strict=True), start=2):
        for column, (word, value) in enumerate(zip(words, row, strict=True), start=1):
            _fill(sheet.cell(line, column), word, value, text.alignments[column - 1])
    lines = summary(table, [column.key for column in chosen], details=notes)
    for line, sentence in enumerate(lines, start=len(text.rows) + 3):
        _write(sheet.cell(line, 1), sentence)
    _widths(sheet, [[title, *(row[i] for row in text.rows)] for i, title in enumerate(text.titles)])
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

    number = re.fullmatch(r"[-+]?[\d,]+(?:\.(\d+))?", word.replace(MINUS, "-"))
    if number and isinstance(value, int | float):
        cell.value = value
        cell.number_format = ("#,##0" if "," in word else "0") + (f".{'0' * len(number[1])}" if number[1] else "")
    else:
        _write(cell, word)
    cell.alignment = Alignment(horizontal=alignment)


def _write(cell: Any, value: Value) -> None:
    if isinstance(value, str):
        cell.value = plain(value)[:LONGEST]
        cell.data_type = "s"  # '=1+1' stays what somebody wrote
        cell.quotePrefix = True
    elif value is not None:
        cell.value = value


def _widths(sheet: Worksheet, columns: Sequence[Sequence[str]]) -> None:
    from openpyxl.utils import get_column_letter

    for i, texts in enumerate(columns, start=1):
        sheet.column_dimensions[get_column_letter(i)].width = min(WIDEST, max(map(len, texts)) + 2)
