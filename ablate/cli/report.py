"""``ablate report``: a study as one file that can be sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import Layout, RecipePath, Selection, Without, check_output, option

if TYPE_CHECKING:
    from ablate.recipe import Recipe
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
    format = checked_output(output, format)
    study, store = selection.read(recipe, metric=layout.metric, need_files=False), selection.store
    write(study, store, layout, output, format)
    selection.mention_last(study, "report")
    return 0


def checked_output(output: Path, format: str | None = None, flag: str = "--output") -> str:
    """The format of the report. Raises ValueError if it is unknown, or the file cannot be written."""
    from ablate.report.columns import ArgumentError
    from ablate.report.page import page_format

    try:
        format = page_format(output, format)
    except ArgumentError as error:
        reason = f"--{error}"
        if flag != "--output":  # there, --format is that of the table
            reason = reason.replace("--output", flag, 1).replace(", or pass --format", "")
        raise ValueError(reason) from None
    check_output(output, flag=flag)
    return format


def write(study: Recipe, store: Store, layout: Layout, output: Path, format: str) -> None:
    """Write the report of a study as it is now. Each file is replaced atomically, the main one last. Raises ValueError
    if no run has started.
    """
    from ablate.cli.show_table import document_of, filled, flags_named
    from ablate.evidence.gather import table_of
    from ablate.evidence.stages import planned_now
    from ablate.planning.plan import make_plan
    from ablate.report.explained import diagnosis
    from ablate.report.page import Page, contents

    record = planned_now(make_plan(study, store), store).record()
    if all(run.status in ("queued", "stale") for row in record.rows for run in row.runs):
        raise ValueError(f"{study.study} has no results: no run has started. Use 'ablate run'.")
    table = table_of(record, store)
    with flags_named():
        document = document_of([table], "html", replace(filled(table, layout), notes=True))
    page = Page(study=record, store=store, table=table, document=document, diagnosis=diagnosis(table))
    for name, data in contents(page, format, output.name).items():
        store.disk.deliver(output.parent / name, data)
    say(f"Wrote {output}.")
