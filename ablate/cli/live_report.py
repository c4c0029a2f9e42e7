"""The report of a study that trains: written again when runs have ended, and at the end."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from ablate.addresses import safe_text
from ablate.cli.console import warn
from ablate.cli.options import Layout, flag_of
from ablate.execution.events import Event, RunEnded

if TYPE_CHECKING:
    from ablate.recipe import Recipe

EVERY = 5.0
"""The fewest seconds between the end of a report and the start of the next one."""

TICK = 0.25
"""Seconds after which it is looked again: runs may train for hours without an event."""

SHARE = 5.0
"""How many times longer than it took to write a report the next one waits, so that training is not slowed down."""


class LiveReport:
    """Writes a report by ``command`` in a process of its own, which no error and no memory of the report leaves, while
    a study trains, and by ``last`` at the end of the context. An error is one line; neither raises.
    """

    def __init__(
        self, command: Sequence[str], last: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.command, self.last, self.clock = command, last, clock
        self.due = False
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.next = float("-inf")
        self.began = 0.0
        self.said = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.errors: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def event(self, event: Event) -> None:
        """Take an event of a job."""
        if isinstance(event, RunEnded):
            self.due = True

    def _watch(self) -> None:
        while not self.over.wait(TICK):
            self.tick()

    def tick(self) -> None:
        """Start a report if a run has ended since the last one began, and it is time."""
        try:
            self._look()
            if self.due and self.process is None and self.clock() >= self.next:
                self.due, self.began = False, self.clock()
                self.errors = tempfile.TemporaryFile()  # noqa: SIM115
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self.errors,
                    start_new_session=True,  # Ctrl-C is for the command
                )
        except OSError as error:
            self._say(str(error))

    def _look(self) -> None:
        """See whether the process has ended, and how."""
        if self.process is None or self.process.poll() is None:
            return
        now = self.clock()
        self.next = now + max(EVERY, SHARE * (now - self.began))
        if self.process.returncode and self.errors is not None:
            self.errors.seek(0)
            lines = self.errors.read().decode(errors="replace").strip().splitlines()
            self._say(lines[-1] if lines else f"exit code {self.process.returncode}")
        self._close()

    def _close(self) -> None:
        if self.errors is not None:
            self.errors.close()
        self.process = self.errors = None

    def _say(self, reason: str) -> None:
        """The first error: later ones usually have the same cause."""
        if not self.said:
            self.said = " ".join(reason.split())
            warn(safe_text(f"The report could not be written: {self.said}"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.thread.join()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._close()
        try:
            self.last()
        except Exception as problem:
            self._say(str(problem) or type(problem).__name__)


def reporting(output: Path, study: Recipe, layout: Layout, runs: Path) -> LiveReport:
    """Writes the report of a study while it trains, and at the end. Raises ValueError for a wrong file."""
    from ablate.cli.report import checked_output, write
    from ablate.store.store import Store

    format = checked_output(output, flag="--report")
    metric = [] if layout.metric is None else ["--metric", layout.metric]
    flags = [*study.selection, *flag_of(runs), *metric, "--output", str(output), "--", str(study.path)]
    command = [sys.executable, "-P", "-m", "ablate", "report", *flags]
    return LiveReport(command, lambda: write(study, Store(runs.absolute()), layout, output, format))
