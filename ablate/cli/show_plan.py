"""A plan as a table for people, or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from ablate.cli.console import number, output
from ablate.planning.plan_summary import Outlook, RowOutlook


def show_plan(view: Outlook, *, as_json: bool) -> None:
    """Print a plan on stdout."""
    if as_json:
        output().print_json(json.dumps(asdict(view)))
        return
    from rich.table import Table

    networks = any(row.parameters is not None or row.error for row in view.rows)
    grid = Table(title=f"Plan of {view.study}", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for title in ("Name", "From", "Changes"):
        grid.add_column(title, overflow="fold")
    for title in ("Epochs", *(("Parameters", "Receptive field") if networks else ()), "Runs"):
        grid.add_column(title, justify="right", no_wrap=title != "Runs")
    for row in view.rows:
        changes = "\n".join(row.changes) or "–"
        field = "×".join(str(side) for side in row.receptive_field or ()) or "–"
        sizes = (cell(row.parameters), field) if networks else ()
        grid.add_row(row.variant, row.parent or "", changes, f"{row.epochs:,}", *sizes, states(row))
    output().print(grid)
    output().print(totals(view))


def cell(number: int | None) -> str:
    """A count with thousands separators, a dash if it is unknown."""
    return "–" if number is None else f"{number:,}"


def states(row: RowOutlook) -> str:
    """The number of runs in each state: ``3 finished, 2 to train``."""
    words = {"queued": "to train", "interrupted": "to resume"}
    parts = [f"{count} {words.get(status, status.replace('_', ' '))}" for status, count in row.runs.items()]
    return ", ".join(parts) + (f" ({row.shared} shared with other variants)" if row.shared else "")


def totals(view: Outlook) -> str:
    """One line: runs to train, and time and disk if they can be estimated."""
    parts = [f"{number(view.to_train, 'run')} to train"]
    if view.to_train and view.seconds is not None:
        parts.append(f"estimated training time: {duration(view.seconds)}, based on similar runs")
    if view.to_train and view.bytes is not None:
        parts.append(f"at most {max(view.bytes / 1e6, 0.1):,.1f} MB on disk")
    return "; ".join(parts) + "."


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
