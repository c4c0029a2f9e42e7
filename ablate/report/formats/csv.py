"""A table as data: values in full precision, one column per key."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from ablate.printable import visible
from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.evidence.table import Row
    from ablate.report.column import Column, Value

FORMULA = tuple("=+-@\t\r＝＋－＠")
"""Spreadsheets run text that starts with one of these."""

WORDS = re.compile(r"[-+][^\W\d][\w .-]*")
"""A sign and plain words, such as ``-rf``: without a call, link or command it is harmless, and stays as in JSON."""

SIGNS = {"+ ": "add ", "− ": "remove "}


def render(document: Document) -> str:
    """A line of keys, then a line per row, with its study if there are several. Unknown values are empty.

    Changes read ``add flip; lr = 0.1``, without signs before them. Text that a spreadsheet would run gets an
    apostrophe; everything else is as in JSON.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    several = len(document.parts) > 1
    writer.writerow([*(["study"] if several else []), *(harmless(column.key) for column in document.columns)])
    for part in document.parts:
        study = [harmless(part.table.study)] if several else []
        rows = ([harmless(value(column, row)) for column in part.columns] for row in part.table.rows)
        writer.writerows([*study, *row] for row in rows)
    return file.getvalue()


def value(column: Column, row: Row) -> Value:
    """A row's value of a column, its changes in words."""
    return "; ".join(map(in_words, row.changes)) if column.key == "changes" else column.value(row)


def in_words(change: str) -> str:
    """``add flip`` for ``+ flip``."""
    return next((word + change.removeprefix(sign) for sign, word in SIGNS.items() if change.startswith(sign)), change)


def harmless(value: Value) -> Value:
    """The value without control characters, with an apostrophe before text that a spreadsheet would run."""
    if not isinstance(value, str) or WORDS.fullmatch(value):
        return value
    value = visible(value)
    return "'" + value if value.startswith(FORMULA) or value.lstrip().startswith(FORMULA) else value


FORMAT = Format("csv", (".csv",), render, data=True)
