"""Live progress of a run on stderr: a table that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from ablate.cli.console import messages, number, say
from ablate.cli.progress_state import ProgressState, RowState, RunState, remaining, spoken
from ablate.execution.events import (
    CheckpointDamaged,
    EpochEnded,
    Event,
    JobRetried,
    Loading,
    RunEvent,
    StackFailed,
    WaitingForOthers,
)
from ablate.planning.run_status import run_name
from ablate.report.wording import plain
from ablate.store.places import axis_at, on_axis, place_text, progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

EVERY = 10.0
"""Seconds between progress lines where there is no terminal."""

WIDE = 100
"""From so many characters on, there is room for long names and bars."""


class Progress:
    """Shows the progress of a study's runs. Events may come from any thread."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console or messages()
        self.clock = clock
        self.state = ProgressState([])
        self.lock = threading.Lock()
        self.live: Live | None = None
        self.spoke = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, rows: Sequence[tuple[str, int, int]]) -> None:
        """Begin, with (variant, planned runs, epochs of each) for every row that has something to train."""
        self.state = ProgressState(rows)
        self.spoke = self.clock()
        if self.console.is_interactive:
            from rich.live import Live

            self.live = Live(
                console=self.console,
                get_renderable=self.render,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self.live.start()

    def add(self, rows: Sequence[tuple[str, int, int]]) -> None:
        """More runs are to be trained: variant, number of runs, epochs."""
        with self.lock:
            self.state.add(rows)

    def event(self, event: Event) -> None:
        """Take an event; print a line if it ends a run, or is about a job."""
        if not isinstance(event, RunEvent):
            if text := job_text(event):
                say(text)
            return
        with self.lock:
            now = self.clock()
            run = self.state.take(event, now)
            who = f"{event.variant} {run_name(event.seed, event.fold)}"
            line: str | None = None
            if self.live is not None:
                # The moving table tells the rest.
                line = f"{who}: {ended(run)}" if not run.active and run.status != "finished" else None
            elif not run.active:
                line = f"{who}: {ended(run)} ({self.whole(now)})"
            elif isinstance(event, EpochEnded) and now - self.spoke >= EVERY:
                line = f"{who}: {under_way(run)} ({self.whole(now)})"
            if line is not None:
                self.spoke = now
        if line is not None:
            self.say(line, run)

    def stop(self) -> None:
        """End the display; may be called twice."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def say(self, line: str, run: RunState) -> None:
        """A line on stderr, above the moving table where there is one."""
        from rich.text import Text

        self.console.print(
            Text(plain(line), "" if run.active or run.status == "finished" else "yellow"), soft_wrap=True
        )

    def whole(self, now: float) -> str:
        """``7/35 runs, about 4 min left``."""
        left = self.state.left(now)
        return f"{self.state.done}/{self.state.planned} runs" + (f", about {spoken(left)} left" if left else "")

    def render(self) -> RenderableType:
        """What the terminal shows now: a line for each row, as many as fit, and one for all of them."""
        from rich.console import Group
        from rich.text import Text

        with self.lock:
            now = self.clock()
            shown = in_view(list(self.state.rows.values()), max(self.console.height - 4, 1))
            hidden = len(self.state.rows) - len(shown)
            more = f", {number(hidden, 'more variant')}" if hidden else ""
            return Group(drawn(shown, now, self.console.width), Text(self.whole(now) + more, "dim"))


def in_view(rows: list[RowState], most: int) -> list[RowState]:
    """The rows to show where not all fit: those under way, then the next to come, then the last to have ended; in the
    study's order.
    """
    if len(rows) <= most:
        return rows
    waiting = [row for row in rows if not row.active and row.done < row.planned]
    over = [row for row in rows if not row.active and row.done >= row.planned]
    chosen = ([row for row in rows if row.active] + waiting + over[::-1])[:most]
    return [row for row in rows if any(row is one for one in chosen)]


def drawn(rows: Sequence[RowState], now: float, room: int) -> RenderableType:
    """The rows as a table: bar, runs, epoch, losses, time left."""
    from rich import box
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = 16 if room >= WIDE else 8
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("Name", overflow="ellipsis", no_wrap=True, max_width=30 if room >= WIDE else 12)
    grid.add_column("", width=bar)
    for title in ("Runs", "Epoch", "Train loss", "Validation loss", "Left"):
        grid.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        left = remaining([row], now) if row.active else None
        over = row.done >= row.planned
        grid.add_row(
            Text(plain(row.variant), "dim" if not row.active else "bold"),
            ProgressBar(total=row.work or 1, completed=row.behind, width=bar),
            f"{row.done}/{max(row.planned, len(row.runs))}",
            where(row.slowest) if row.slowest else "",
            loss(row.loss("train_loss")),
            loss(row.loss("valid_loss")),
            Text(troubles(row), "yellow") if over else (spoken(left) if left else ""),
        )
    return grid


def troubles(row: RowState) -> str:
    """``done``, or how many runs ended how: ``2 diverged``."""
    states = [run.status.replace("_", " ") for run in row.runs.values() if run.status != "finished"]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "done"


def job_text(event: Event) -> str | None:
    """What a user should know about a job; None for events that concern the scheduler only."""
    match event:
        case Loading():
            return "Loading the data, once for all runs …"
        case WaitingForOthers(runs=runs):
            return f"Waiting for {number(runs, 'run')} that other processes train."
        case StackFailed(variant=variant, reason=reason):
            return f"{variant}: training the seeds together failed ({reason}). Retrying them one by one."
        case JobRetried(variant=variant, seeds=seeds, reason=reason, one_by_one=alone):
            how = "Retrying one by one." if alone else "Retrying from the last checkpoint, if there is one."
            return f"{variant} {seeds_text(seeds)}: {reason}. {how}"
        case CheckpointDamaged(variant=variant, seeds=seeds, damage=damage, epoch=epoch, at=at):
            how = "Starting from the beginning." if epoch is None else f"Continuing after {place_text(epoch, at)}."
            return f"{variant} {seeds_text(seeds)}: {'; '.join(damage)}. {how}"
    return None


def seeds_text(seeds: Sequence[int]) -> str:
    """``seed 3``, or ``seeds 0, 3``."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def ended(run: RunState) -> str:
    """How a run ended: ``finished, epoch 400/400, train loss 0.002244, validation loss 0.003255, 12 s``, or why not."""
    words = run.status.replace("_", " ")
    if run.status != "finished":
        return f"{words}: {run.reason}" if run.reason else words
    if run.elsewhere or not run.epoch:
        return f"{words} elsewhere"
    took = ""
    if run.seconds is not None:
        took = f", {spoken(run.seconds) if run.seconds >= 10 else f'{run.seconds:.1f} s'}"
    return f"{words}, {under_way(run)}{took}"


def under_way(run: RunState) -> str:
    """``epoch 120/400, train loss 0.002244, validation loss 0.003255``."""
    parts = [where(run) if axis_at(run.at) != "epoch" else f"epoch {where(run)}"]
    losses = {"train loss": run.train_loss, "validation loss": run.valid_loss}
    parts += [f"{title} {loss(value)}" for title, value in losses.items() if value is not None]
    return ", ".join(parts)


def where(run: RunState) -> str:
    """``120/400``, or ``step 2,000``."""
    axis = axis_at(run.at)
    return progress(on_axis(run.epoch, run.at, axis), run.epochs, axis)


def loss(value: float | None) -> str:
    """Four significant digits; nothing for what is not known."""
    return "" if value is None else f"{value:.4g}"
