"""A table as JSON: stable keys, full precision."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from ablate.printable import UNSEEN
from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.evidence.table import Row, Table


NONE: Mapping[str, Any] = {}


def render(document: Document) -> str:
    """All keys of the table, whatever columns are chosen; rows in the chosen order. Several studies are a list."""
    trees = [table_tree(part.table) for part in document.parts]
    return as_json(trees[0] if len(trees) == 1 else {"studies": trees})


def as_json(value: Any) -> str:
    """A value as JSON that controls no terminal. Raises ValueError for numbers that are not finite."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def table_tree(table: Table) -> dict[str, Any]:
    """``study``, ``compare``, ``axis``, ``prior``, ``pairing``, ``rows``; ``tricks`` or ``path`` if there are any."""
    from ablate.recipe.variant import MeanOfLast
    from ablate.report.columns import new_samples

    compare = {key: getattr(table.compare, key) for key in ("metric", "better", "at", "scale", "smallest_effect")}
    if isinstance(table.compare.at, MeanOfLast):
        compare["at"] = {"mean_of_last": table.compare.at.count}
    compare["failed"] = None if table.compare.failed is None else str(table.compare.failed)
    new = new_samples(table)
    if not table.new_samples.is_quick():
        new = {key: lambda row: None for key in new}
    rows = [row_tree(row, {key: value(row) for key, value in new.items()}) for row in table.rows]
    tree = {
        "study": table.study,
        "compare": compare,
        "axis": table.axis,
        "prior": list(table.prior),
        "pairing": table.family.pairing,
        "rows": rows,
    }
    more = {"tricks": table.tricks, "path": table.path}
    return tree | {key: asdict(value) for key, value in more.items() if value is not None}


def row_tree(row: Row, more: Mapping[str, Any] = NONE) -> dict[str, Any]:
    """A row's values and ``more``, None if they are not known or too large for a number, then its metrics under their
    own names.

    A metric that is called like one of the row's own keys appears as ``metric_<name>``.
    """
    from ablate.report.notes import sentence

    names = [field.name for field in fields(row) if field.name not in ("metrics", "notes", "tally", "reached")]
    tree = {("from" if name == "parent" else name): getattr(row, name) for name in names}
    tree |= {"changes": list(row.changes), "published": dict(row.published) if row.published else None}
    tree["judged_seeds"] = None if row.judged_seeds is None else list(row.judged_seeds)
    tree["top_ups"] = [asdict(one) for one in row.top_ups]
    tree["chosen"] = None if row.chosen is None else dict(row.chosen)
    tree["tied"] = [dict(one) for one in row.tied]
    tree["unlike"] = [sentence(note, row.tally.unit) for note in row.unlike]
    tree |= {**row.reached, **more}
    tree |= {(f"metric_{name}" if name in tree else name): value for name, value in row.metrics.items()}
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in tree.items()}


FORMAT = Format("json", (".json",), render)
