"""``ablate plot``: a picture of a study as a file, its format from the suffix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Design, Only, RecipePath, Runs, Scale, Seeds, Sets, mention_last, read


def plot(
    recipe: RecipePath,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="x.png, .svg or .pdf.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(
            help="curves (every epoch), ladder (each row's step from its parent), effects (these steps with intervals) or predictions (points on pictures)."
        ),
    ] = "curves",
    metric: Annotated[
        str | None,
        typer.Option(help="What to show instead of the losses, or of what is compared.", show_default=False),
    ] = None,
    log: Annotated[
        bool | None, typer.Option("--log/--linear", help="The axis of curves; chosen by the values unless given.")
    ] = None,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
) -> int:
    """Draw what a study has come to: learning curves, the ladder, or a forest plot of the effects."""
    from ablate.cli.console import say
    from ablate.cli.show_table import flags_named
    from ablate.evidence.gather import gather
    from ablate.planning.plan import make_plan
    from ablate.recipe.measured import comparing
    from ablate.report.figure import picture_suffix
    from ablate.report.pictures import check_kind, picture
    from ablate.store.store import Store

    with flags_named():
        check_kind(kind)
        format = picture_suffix(output)
    if log is not None and kind != "curves":
        raise ValueError(
            f"{'--log' if log else '--linear'} is for curves; a step of a {kind} has no sign on a logarithmic axis."
        )
    study = read(recipe, seeds, only, design, sets, scale, need_files=False)
    if metric is not None and kind != "curves":
        study = replace(study, compare=comparing(study.variants, study.compare, metric))
    store = Store(runs.absolute())
    record = make_plan(study, store).record()
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output (={output}) is in a folder that does not exist. Make {output.parent} first.")
    table = gather(record, provenance=store.provenance, curves=store.metrics)
    store.disk.deliver(output, picture(kind, record, store, table, format, metric=metric, log=log))
    say(f"wrote {output}")
    mention_last(study, store, "plot")
    return 0
