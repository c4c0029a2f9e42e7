"""``ablate plot``: a plot of a study as a file, its format from the suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import RecipePath, Selection, check_output, option


def kinds() -> list[str]:
    """The kinds of plots, for shell completion."""
    from ablate.report.pictures import KINDS

    return list(KINDS)


def plot(
    recipe: RecipePath,
    output: Annotated[Path, option("FILE", "Output file, ending in .png, .svg or .pdf.", "--output", "-o")],
    selection: Selection,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Kind of plot: curves (metrics per epoch), ladder (results with the change from each parent), effects "
            "(differences with confidence intervals) or predictions (keypoints drawn on images).",
            autocompletion=kinds,
        ),
    ] = "curves",
    metric: Annotated[
        str | None,
        option("METRIC", "Metric to plot. Defaults to the losses for curves, and to the compared metric otherwise."),
    ] = None,
    log: Annotated[
        bool | None,
        typer.Option(
            "--log/--linear", help="Use a logarithmic or a linear y axis for curves. Chosen automatically by default."
        ),
    ] = None,
) -> int:
    """Plot the results of a study: learning curves, results with the change from each parent (ladder), differences
    with confidence intervals (effects), or predictions.

    Example: ablate plot digits.yaml --kind effects -o effects.pdf
    """
    from ablate.cli.show_table import flags_named
    from ablate.evidence.gather import table_of
    from ablate.report.figure import picture_suffix
    from ablate.report.pictures import check_kind, picture

    with flags_named():
        check_kind(kind)
        format = picture_suffix(output)
    if log is not None and kind != "curves":
        raise ValueError(f"{'--log' if log else '--linear'} requires --kind curves.")
    plan = selection.plan(recipe, metric=None if kind == "curves" else metric, need_files=False)
    record, store = plan.record(), selection.store
    check_output(output)
    drawn = picture(kind, record, store, lambda: table_of(record, store), format, metric=metric, log=log)
    store.disk.deliver(output, drawn)
    say(f"Wrote {output}.")
    selection.mention_last(plan.recipe, "plot")
    return 0
