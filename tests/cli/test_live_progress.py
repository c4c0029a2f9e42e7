from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ablate.cli.progress import Progress, in_view
from ablate.cli.progress_state import RowState, RunState
from ablate.execution.events import EpochEnded, RunEnded, RunStarted


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def lines_of(progress):
    return progress.console.file.getvalue().splitlines()


@pytest.fixture
def piped(clock):
    """Progress whose stderr is a file."""
    progress = Progress(Console(file=io.StringIO(), width=80, markup=False), clock)
    progress.start([("net1", 2, 400), ("net2", 1, 100)])
    return progress


def event(variant, seed, what, epoch=None, **facts):
    facts = {"variant": variant, "seed": seed, "epochs": 400, **facts}
    if what == "started":
        return RunStarted(**facts)
    return EpochEnded(epoch=epoch, **facts) if what == "epoch" else RunEnded(status=what, epoch=epoch, **facts)


def test_a_line_when_a_run_ends(piped, clock):
    piped.event(event("net1", 0, "started"))
    clock.now = 4.0
    piped.event(event("net1", 0, "epoch", 400, train_loss=0.002244, valid_loss=0.00325512))
    piped.event(event("net1", 0, "finished", 400, train_loss=0.002244, valid_loss=0.00325512, seconds=4.2))
    piped.event(event("net1", 1, "diverged", 3, reason="train_loss (=nan) is not finite\nin epoch 3"))
    lines = lines_of(piped)
    assert lines[0].startswith(
        "net1 seed 0: finished, epoch 400/400, train loss 0.002244, validation loss 0.003255, 4.2 s (1/3 runs, about "
    )
    assert lines[1].startswith("net1 seed 1: diverged: train_loss (=nan) is not finite in epoch 3 (2/3 runs, about")
    assert len(lines) == 2


def test_at_most_one_progress_line_every_ten_seconds(piped, clock):
    for second in range(1, 36):
        clock.now = float(second)
        piped.event(event("net1", 0, "epoch", second, train_loss=1.0, valid_loss=2.0))
    lines = lines_of(piped)
    assert [line.split(",")[0] for line in lines] == [f"net1 seed 0: epoch {n}/400" for n in (10, 20, 30)]


def test_runs_that_another_process_finished(piped):
    piped.event(event("net1", 0, "finished", elsewhere=True))
    assert lines_of(piped) == ["net1 seed 0: finished elsewhere (1/3 runs)"]


def test_folds_and_states_are_named(piped):
    piped.event(event("net1", 0, "out_of_memory", fold=2))
    assert lines_of(piped) == ["net1 seed 0, fold 2: out of memory (1/3 runs)"]


def test_no_name_controls_the_terminal(piped):
    piped.event(event("\x1b[2J[red]x[/red]\n", 0, "failed", reason="\x1b]0;y\x07"))
    text = piped.console.file.getvalue()
    assert "\x1b" not in text
    assert "[red]x[/red]" in text
    assert len(lines_of(piped)) == 1


def drawn(progress):
    """What the terminal would show now, without colours."""
    console = progress.console
    with console.capture() as capture:
        console.print(progress.render())
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capture.get())


@pytest.fixture
def terminal(clock):
    """Progress on a terminal of 110 × 30."""
    console = Console(file=io.StringIO(), force_terminal=True, width=110, height=30, markup=False)
    with Progress(console, clock) as progress:
        progress.start([("net1", 2, 400), ("net2", 1, 100)])
        yield progress


def test_the_terminal_shows_a_row_per_variant(terminal, clock):
    for seed in (0, 1):
        terminal.event(event("net1", seed, "started"))
        clock.now = 1.0
        terminal.event(event("net1", seed, "epoch", 1))
        clock.now = 100.0
        terminal.event(event("net1", seed, "epoch", 100, train_loss=0.1 + seed / 10, valid_loss=0.3))
    text = drawn(terminal)
    net1 = next(line for line in text.splitlines() if line.lstrip().startswith("net1"))
    assert re.search(r"━ +0/2 +100/400 +0\.15 +0\.3 +5 min", net1)
    assert "net2" in text
    assert "0/3 runs, about 5 min 50 s left" in text


def test_the_terminal_keeps_what_went_wrong(terminal):
    terminal.event(event("net1", 0, "finished", 400))
    terminal.event(event("net1", 1, "diverged", 3, reason="train_loss (=nan)"))
    terminal.stop()
    said = terminal.console.file.getvalue()
    assert "net1 seed 1: diverged: train_loss (=nan)" in said
    assert "net1 seed 0" not in said
    assert "1 diverged" in drawn(terminal)


def test_the_cursor_comes_back_and_stopping_twice_is_harmless(terminal):
    terminal.stop()
    terminal.stop()
    said = terminal.console.file.getvalue()
    assert said.count("\x1b[?25h") == said.count("\x1b[?25l") == 1
    assert terminal.live is None


def test_no_display_off_a_terminal(piped):
    assert piped.live is None
    assert lines_of(piped) == []


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(clock, width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=30, markup=False)
    with Progress(console, clock) as progress:
        progress.start([("a very long name of a variant indeed, and then some", 2, 10000)])
        progress.event(event("a very long name of a variant indeed, and then some", 0, "epoch", 9999, train_loss=1e-9))
        assert all(len(line) <= width for line in drawn(progress).splitlines())


def test_rows_that_do_not_fit_give_way_to_those_under_way():
    rows = [RowState(f"r{i}", 1, 10) for i in range(20)]
    for i in range(10):
        rows[i].runs[0, None] = RunState("finished")
    rows[10].runs[0, None] = RunState()
    assert [row.variant for row in in_view(rows, 3)] == ["r10", "r11", "r12"]
    assert [row.variant for row in in_view(rows, 12)] == [f"r{i}" for i in range(8, 20)]
    assert in_view(rows, 20) == rows
