"""Selection of columns by key or title, and the order of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ablate.evidence.table import Table
from ablate.registry import suggestion
from ablate.report.column import Column, Value
from ablate.report.columns import available, default_keys


class ArgumentError(ValueError):
    """An invalid argument of a function of this room; on the command line, its name is a flag."""


ALIASES = {"name": "variant", "parent": "from", "sd": "spread", "± sd": "spread", "± sd (n)": "spread", "n": "seeds"}


def select_columns(
    table: Table, names: Sequence[str] | None = None, sort: str | None = None
) -> tuple[Table, list[Column]]:
    """The sorted table, and the selected columns (by key or title).

    ``sort`` names a column, with a minus before it to sort in descending order; rows without a value come last. Raises
    ValueError for unknown names.
    """
    columns = available(table)
    chosen = [columns[find(columns, name, "columns")] for name in names or default_keys(table)]
    if not sort:
        return table, chosen
    by = columns[find(columns, sort.removeprefix("-"), "sort")]
    known = [row for row in table.rows if by.value(row) not in (None, "")]
    rest = [row for row in table.rows if by.value(row) in (None, "")]
    known.sort(key=lambda row: order(by.value(row)), reverse=sort.startswith("-"))
    return replace(table, rows=(*known, *rest)), chosen


def order(value: Value) -> tuple[float, str]:
    """Numbers by size, text without regard to case."""
    return (0.0, value.casefold()) if isinstance(value, str) else (value or 0.0, "")


def find(columns: dict[str, Column], name: str, flag: str) -> str:
    """The key of the column ``name``. Raises ValueError with the nearest one."""
    wanted = name.strip()
    if wanted in columns:
        return wanted
    folded = wanted.casefold().replace("-", "_")
    called = {spelling.casefold(): key for key, column in columns.items() for spelling in (column.title, key)} | ALIASES
    for spelling in (folded, folded.replace(" ", "_"), wanted.casefold()):
        if spelling in called:
            return called[spelling]
    near = suggestion(folded, [*columns, *ALIASES])
    hint = f"Did you mean '{near}'?" if near else f"Available: {', '.join(columns)}."
    raise ArgumentError(f"{flag} (={wanted}) is not a column of this table. {hint}")
