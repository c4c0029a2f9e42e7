"""``ablate status --watch``: the status until all runs have ended, updated in place on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablate.cli.console import number, output, print_json
from ablate.planning.run_status import RowNow, watch
from ablate.store.records import ENDED_BADLY

if TYPE_CHECKING:
    from ablate.recipe import Recipe
    from ablate.store.store import Store

EVERY = 2.0
"""Seconds between two looks at the store."""

SHARE = 0.1
"""The largest share of the time that looking may take: a large store is looked at less often."""

OVER = frozenset({"finished", *ENDED_BADLY})


@dataclass(frozen=True)
class StudyNow:
    """The variants of a study, and whether all of its runs have ended."""

    rows: list[RowNow]
    ended: bool


def state_now(study: Recipe, store: Store) -> StudyNow:
    """The present state of a study. Only reads the store."""
    from ablate.evidence.stages import planned_now
    from ablate.planning.plan import make_plan

    plan = planned_now(make_plan(study, store), store)
    rows = watch(plan, store)
    return StudyNow(rows, not plan.waiting and all(row.runs.keys() <= OVER for row in rows))


def follow(study: Recipe, store: Store, *, as_json: bool, wait: Callable[[float], object] = time.sleep) -> None:
    """Show the status until all runs have ended. ``wait`` is called with the seconds until the next look. Raises
    KeyboardInterrupt.
    """
    from ablate.execution.shutdown import ended_by_signals

    how = in_place() if output().is_interactive and not as_json else block_by_block(study.study, as_json=as_json)
    with ended_by_signals(), how as show:
        while True:
            began = time.perf_counter()
            now = state_now(study, store)
            show(now.rows)
            if now.ended:
                return
            wait(pause(time.perf_counter() - began))


def pause(took: float) -> float:
    """The seconds to wait after a look that took ``took`` seconds."""
    return max(EVERY, took * (1 / SHARE - 1))


Show = Callable[[list[RowNow]], None]


@contextmanager
def in_place() -> Iterator[Show]:
    """Shows as many rows as fit, in the same place; at the end, all of them."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from ablate.cli.show_status import grid

    last: list[RowNow] = []
    console = output()
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:

            def show(rows: list[RowNow]) -> None:
                last[:] = rows
                shown = in_view(rows, max(console.height - 3, 1))
                hidden = len(rows) - len(shown)
                more = f", {number(hidden, 'more variant')}" if hidden else ""
                live.update(Group(grid(shown), Text(f"{ended(rows)}{more}", "dim")), refresh=True)

            yield show
    finally:
        if last:
            console.print(grid(last))


@contextmanager
def block_by_block(study: str, *, as_json: bool) -> Iterator[Show]:
    """Prints all rows again if anything but the time since an update has changed."""
    from ablate.cli.show_status import grid, json_of

    before: list[RowNow] = []

    def show(rows: list[RowNow]) -> None:
        same = [replace(row, running=tuple(replace(run, silent=None) for run in row.running)) for row in rows]
        if same == before:
            return
        if as_json:
            print_json(json_of(study, rows))
        else:
            output().print(*([""] if before else []), grid(rows), sep="\n")
        output().file.flush()
        before[:] = same

    yield show


def ended(rows: list[RowNow]) -> str:
    """``7/35 runs ended``."""
    counts = [(state, count) for row in rows for state, count in row.runs.items()]
    return f"{sum(count for state, count in counts if state in OVER)}/{sum(count for _, count in counts)} runs ended"


def in_view(rows: list[RowNow], most: int) -> list[RowNow]:
    """The rows to show if there is room for ``most`` lines: those in training, then the next to come, then the first to
    have ended; in the study's order.
    """

    def rank(i: int) -> int:
        return 0 if rows[i].running else 2 if rows[i].runs.keys() <= OVER else 1

    chosen: set[int] = set()
    for i in sorted(range(len(rows)), key=rank):
        most -= max(len(rows[i].running), 1) + len(rows[i].reasons)
        if most < 0 and chosen:
            break
        chosen.add(i)
    return [row for i, row in enumerate(rows) if i in chosen]
