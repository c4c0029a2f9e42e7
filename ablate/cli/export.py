"""``ablate export``: the table as a file, its format from the suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.flags import (
    DEFAULT_RUNS,
    Columns,
    Design,
    Only,
    RecipePath,
    Runs,
    Scale,
    Seeds,
    Sets,
    Sort,
    listed,
    mention_last,
    read,
)


def export(
    recipe: RecipePath,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="table.md, .tex, .html, .csv, .json or .xlsx.", show_default=False
        ),
    ],
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    columns: Columns = None,
    sort: Sort = None,
) -> int:
    """Write the table into a file for a paper or a report."""
    from ablate import api
    from ablate.cli.console import say
    from ablate.cli.show_table import flags_named, mention_missing
    from ablate.report.formats import format_from_suffix, render
    from ablate.store.store import Store

    spreadsheet = output.suffix.lower() == ".xlsx"
    with flags_named():
        format = "xlsx" if spreadsheet else format_from_suffix(output, ".xlsx")
    study = read(recipe, seeds, only, design, sets, scale, need_files=False)
    store = Store(runs.absolute())
    found = api.table(study, root=runs)
    with flags_named():
        if spreadsheet:
            from ablate.report.as_xlsx import xlsx_bytes

            contents = xlsx_bytes(found, listed(columns), sort)
        else:
            contents = render(found, format, columns=listed(columns), sort=sort).encode()
    if not output.parent.is_dir():
        raise ValueError(f"--output (={output}) is in a folder that does not exist. Make {output.parent} first.")
    store.disk.deliver(output, contents)
    say(f"wrote {output}")
    mention_missing(runs)
    mention_last(study, store, "export")
    return 0
