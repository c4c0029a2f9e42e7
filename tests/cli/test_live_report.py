"""When the report of a study that trains is written again."""

from __future__ import annotations

import sys

import pytest

from ablate.cli.live_report import EVERY, SHARE, LiveReport
from ablate.execution.events import EpochEnded, RunEnded

ENDED = RunEnded(variant="a", seed=0, status="finished")
EPOCH = EpochEnded(variant="a", seed=0, epoch=1, epochs=2)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def live(tmp_path, clock):
    """A report that adds a line to a file; with the numbers of reports so far."""

    def make(program="open('log', 'a').write('x')", last=lambda: None):
        script = f"import os; os.chdir({str(tmp_path)!r}); {program}"
        return LiveReport([sys.executable, "-c", script], last, clock)

    return make


def ended(report):
    """Wait for the process, not by the clock that the report reads."""
    report.process.wait()
    report.tick()


def written(tmp_path):
    return len((tmp_path / "log").read_text()) if (tmp_path / "log").exists() else 0


def test_only_the_end_of_a_run_starts_a_report(live, tmp_path):
    report = live()
    report.event(EPOCH)
    report.tick()
    assert report.process is None
    report.event(ENDED)
    report.tick()
    ended(report)
    assert written(tmp_path) == 1
    assert report.process is None


def test_reports_keep_their_distance(live, clock, tmp_path):
    report = live()
    report.event(ENDED)
    report.tick()
    report.event(ENDED)
    clock.now = 2.0
    ended(report)
    assert report.process is None
    clock.now = 2.0 + max(EVERY, SHARE * 2.0) - 0.1
    report.tick()
    assert report.process is None
    clock.now += 0.2
    report.tick()  # the run that ended meanwhile is not forgotten
    ended(report)
    assert written(tmp_path) == 2


def test_an_error_is_one_line_once(live, clock, capsys):
    report = live("raise SystemExit('first line\\nwhat is wrong')")
    for _ in range(2):
        report.event(ENDED)
        report.tick()
        ended(report)
        clock.now += 1000
    assert capsys.readouterr().err == "The report could not be written: what is wrong\n"


def test_a_command_that_cannot_start_is_an_error_too(clock, capsys):
    report = LiveReport(["/nowhere/python"], lambda: None, clock)
    report.event(ENDED)
    report.tick()
    assert "The report could not be written: " in capsys.readouterr().err


def test_a_study_without_events_is_looked_at_too(live, tmp_path):
    with live() as report:
        report.event(ENDED)
        while not written(tmp_path):
            report.over.wait(0.01)


def test_the_end_writes_the_last_one_also_after_an_exception(live, capsys):
    done = []
    with pytest.raises(KeyboardInterrupt), live(last=lambda: done.append(1)):
        raise KeyboardInterrupt
    assert done == [1]

    def fail():
        raise ValueError("tiny has\nno results")

    with live(last=fail):
        pass
    assert capsys.readouterr().err == "The report could not be written: tiny has no results\n"


def test_a_report_under_way_is_ended(live):
    with live("import time; time.sleep(1000)") as report:
        report.event(ENDED)
        while (process := report.process) is None:
            report.over.wait(0.01)
    assert process.poll() is not None
