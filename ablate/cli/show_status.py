"""The status of a study's runs as a table or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ablate.cli.console import grid_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ablate.planning.run_status import RowNow, RunNow


def json_of(study: str, rows: list[RowNow]) -> dict[str, object]:
    """The rows as JSON values."""
    return {"study": study, "rows": [asdict(row) for row in rows]}


def grid(rows: list[RowNow]) -> RenderableType:
    """The rows as a table, and the reasons of what went wrong below it."""
    from rich.console import Group
    from rich.text import Text

    from ablate.report.wording import WORDS, plain

    grid = grid_of("Name", "Status", "Seed", "Epoch >", "Validation loss >", "Last update >", "PID")
    for row in rows:
        states = ", ".join(f"{count} {WORDS.get(state, state)}" for state, count in row.runs.items())
        columns = zip(*(cells(run) for run in row.running), strict=True) if row.running else ([""],) * 5
        grid.add_row(plain(row.variant), states, *("\n".join(column) for column in columns))
    reasons = [Text(plain(f"{row.variant}, {reason}")) for row in rows for reason in row.reasons]
    return Group(grid, *reasons)


def cells(run: RunNow) -> tuple[str, ...]:
    """A run under way: seed, epoch, loss, time since its last update, process."""
    from ablate.cli.progress_state import spoken
    from ablate.store.places import progress

    return (
        run.name,
        progress(run.epoch, run.epochs, run.axis),
        "" if run.valid_loss is None else f"{run.valid_loss:.4g}",
        "" if run.silent is None else f"{spoken(run.silent)} ago",
        "" if run.pid is None else f"{run.host}:{run.pid}",
    )
