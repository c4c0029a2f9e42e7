"""A table in plain JSON values: stable keys, full precision."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ablate.evidence.table import Row, Table
from ablate.report.notes import sentence


def table_tree(table: Table) -> dict[str, Any]:
    """``study``, ``compare`` and ``rows``."""
    compare = {key: getattr(table.compare, key) for key in ("metric", "better", "at", "smallest_effect")}
    return {"study": table.study, "compare": compare, "rows": [row_tree(row) for row in table.rows]}


def row_tree(row: Row) -> dict[str, Any]:
    """A row's values, None if they are not known, then its metrics under their own names.

    A metric that is called like one of the row's own keys appears as ``metric_<name>``.
    """
    names = [field.name for field in fields(row) if field.name not in ("metrics", "notes", "tally", "reached")]
    tree = {("from" if name == "parent" else name): getattr(row, name) for name in names}
    tree |= {"changes": list(row.changes), "published": dict(row.published) if row.published else None}
    tree["unlike"] = [sentence(note, row.tally.unit) for note in row.unlike]
    tree |= row.reached
    return tree | {(f"metric_{name}" if name in tree else name): value for name, value in row.metrics.items()}
