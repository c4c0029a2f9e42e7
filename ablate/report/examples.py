"""The samples on which two variants differ most, in the formats of tables."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from typing import Any

from ablate.evidence.examples import Examples
from ablate.evidence.table import Table
from ablate.report.column import Alignment, Cells
from ablate.report.document import Document
from ablate.report.formats import FORMATS, checked
from ablate.report.formats.json import as_json
from ablate.report.numbers import deviation, fixed, fixed_column, mean_places
from ablate.report.wording import plain


@dataclass(frozen=True, kw_only=True)
class ExamplesDocument(Document):
    """The samples as a table for readers."""

    found: Examples

    def narrow(self, *, coarse: bool = True) -> Document:
        return self

    def cells(self) -> Cells:
        found = self.found
        optional = [name for name in ("fold", "group") if any(getattr(row, name) is not None for row in found.rows)]
        titles = [
            "Sample",
            *map(str.capitalize, optional),
            plain(found.first),
            plain(found.second),
            "Difference",
            "± sd",
        ]
        places = mean_places([row.difference for row in found.rows])
        first, second = (fixed_column(getattr(row, name) for row in found.rows) for name in ("first", "second"))
        rows = [
            [
                str(row.position),
                *(str(getattr(row, name)) for name in optional),
                first[i],
                second[i],
                fixed(row.difference, places, "+"),
                "" if row.sd is None else f"±{deviation(row.sd)}",
            ]
            for i, row in enumerate(found.rows)
        ]
        right: list[Alignment] = ["right"] * len(titles)
        return Cells(titles, rows, right)

    def lines(self) -> list[str]:
        found = self.found
        over = "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
        return [
            f"Mean {plain(found.compare.metric)} over {over} ({found.compare.better} is better) of the "
            f"{len(found.rows)} of {found.samples:,} validation samples with the largest difference, "
            f"{plain(found.second)} minus {plain(found.first)}; ± sd over seeds. Sample: its position in the data, "
            "from 0."
        ]


def render_examples(found: Examples, format: str) -> str:
    """The samples as text that ends with a newline. Raises ValueError for an unknown format."""
    known = FORMATS[checked(format)]
    if known.name == "json":
        return as_json(tree(found))
    if known.name == "csv":
        file = io.StringIO()
        rows = tree(found)["samples"]
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()
    empty = Table(found.study, found.compare, ())
    rendered = known.render(ExamplesDocument(table=empty, columns=(), found=found))
    assert isinstance(rendered, str)
    return rendered


def tree(found: Examples) -> dict[str, Any]:
    """The samples in plain JSON values."""
    about = {"study": found.study, "metric": found.compare.metric, "first": found.first, "second": found.second}
    return {**about, "seeds": found.seeds, "of": found.samples, "samples": [asdict(row) for row in found.rows]}
