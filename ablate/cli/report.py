"""``ablate report``: a study as one file that can be sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import Layout, RecipePath, Selection, Without, check_output, option

if TYPE_CHECKING:
    from ablate.evidence.table import Table
    from ablate.report.document import Document
    from ablate.store.records import StudyRecord
    from ablate.store.store import Store


def formats() -> list[str]:
    """The formats, for shell completion."""
    from ablate.report.page import FORMATS

    return list(FORMATS)


def report(
    recipe: RecipePath,
    output: Annotated[Path, option("FILE", "Output file, ending in .html, .md or .pdf.", "--output", "-o")],
    selection: Selection,
    layout: Annotated[Layout, Without("notes", "caption", "label")],
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Output format: html, md or pdf. Defaults to that of the suffix.",
            show_default=False,
            autocompletion=formats,
        ),
    ] = None,
) -> int:
    """Write a report of a study to one file that works offline: verdicts, table, plots, settings that differ, costs,
    provenance and the recipe.

    Example: ablate report digits.yaml -o report.html
    """
    from ablate.cli.show_table import document_of, flags_named
    from ablate.evidence.gather import table_of
    from ablate.report.page import page_format

    with flags_named():
        format = page_format(output, format)
    check_output(output)
    plan, store = selection.plan(recipe, metric=layout.metric, need_files=False), selection.store
    record = plan.record()
    if not began(record):
        raise ValueError(f"{plan.recipe.study} has no results: no run has started. Use 'ablate run'.")
    table = table_of(record, store)
    with flags_named():
        document = document_of([table], "html", layout)
    write(record, store, table, document, output, format)
    say(f"Wrote {output}.")
    selection.mention_last(plan.recipe, "report")
    return 0


def began(study: StudyRecord) -> bool:
    """Whether any run has started."""
    return any(run.status not in ("queued", "stale") for row in study.rows for run in row.runs)


def write(study: StudyRecord, store: Store, table: Table, document: Document, output: Path, format: str) -> None:
    """Write a report, its main file last. Each file is replaced atomically."""
    from ablate.report.page import Page, contents

    page = Page(study=study, store=store, table=table, document=document)
    for name, data in contents(page, format, output.name).items():
        store.disk.deliver(output.parent / name, data)
