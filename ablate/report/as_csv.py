"""A table as data: plain values at full precision, one column per key."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ablate.evidence.table import Table
from ablate.report.columns import Column, Value

FORMULA = tuple("=+-@\t\r＝＋－＠")
"""A spreadsheet would run text that starts with one of these."""


def csv_text(table: Table, columns: Sequence[Column]) -> str:
    """A line of keys, then a line per row; nothing stands for what is not known. Text that a spreadsheet would run gets an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([harmless(column.key) for column in columns])
    writer.writerows([harmless(column.value(row)) for column in columns] for row in table.rows)
    return file.getvalue()


def harmless(value: Value) -> Value:
    """The value, with an apostrophe before text that is not meant to be a formula."""
    if isinstance(value, str) and (value.startswith(FORMULA) or value.lstrip().startswith(FORMULA)):
        return "'" + value
    return value
