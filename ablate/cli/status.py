"""``ablate status``: what is running now, row by row."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Design, Only, RecipePath, Runs, Scale, Seeds, Sets, mention_last, read
from ablate.cli.progress_state import spoken

if TYPE_CHECKING:
    from ablate.planning.run_status import RowNow, RunNow


def status(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Show what is running: each row's seeds, their epoch, and when they were last heard of."""
    from ablate.cli.console import output
    from ablate.planning.plan import make_plan
    from ablate.planning.run_status import watch
    from ablate.store.store import Store

    study = read(recipe, seeds, only, design, sets, scale, need_files=False)
    store = Store(runs.absolute())
    rows = watch(make_plan(study, store), store)
    if as_json:
        output().print_json(json.dumps({"study": study.study, "rows": [asdict(row) for row in rows]}))
    else:
        show(rows)
    mention_last(study, store, "status")
    return 0


def show(rows: list[RowNow]) -> None:
    """Print the rows as a table, and the reasons of what went wrong below it."""
    from rich.table import Table
    from rich.text import Text

    from ablate.cli.console import output
    from ablate.report.wording import plain

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Name", "Runs", "Running", "Epoch", "Valid loss", "Last sign", "Process"):
        grid.add_column(title, justify="right" if title in ("Epoch", "Valid loss", "Last sign") else "left")
    for row in rows:
        states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in row.runs.items())
        columns = zip(*(cells(run) for run in row.running), strict=True) if row.running else ([""],) * 5
        grid.add_row(Text(plain(row.variant)), states, *("\n".join(column) for column in columns))
    output().print(grid)
    for row in rows:
        for reason in row.reasons:
            output().print(Text(plain(f"{row.variant} {reason}")))


def cells(run: RunNow) -> tuple[str, ...]:
    """A run under way: seed, epoch, loss, time since its last sign of life, process."""
    return (
        run.name,
        f"{run.epoch}/{run.epochs}",
        "" if run.valid_loss is None else f"{run.valid_loss:.4g}",
        "" if run.silent is None else f"{spoken(run.silent)} ago",
        "" if run.pid is None else f"{run.host}:{run.pid}",
    )
