"""Ending a job in order: at the end of the epoch, with a checkpoint, where that comes soon; at once where it does not.

Signals come at any moment. What is being written then is written to its end: nothing is raised inside `Ending.shield`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

GRACE = 4.0
"""Seconds that a job has to reach the end of its epoch. The server's patience is longer."""

Reason = Literal["interrupted", "timeout"]


class EndAsked(BaseException):
    """Somebody asked this job to end: ``status`` says what its runs are then."""

    def __init__(self, status: Reason) -> None:
        super().__init__(status)
        self.status = status


class Ending:
    """Whether this process was asked to end. ``training`` is set once epochs come, whose ends are worth waiting for."""

    def __init__(self) -> None:
        self.asked: Reason | None = None
        self.training = False
        self._overdue = False
        self._shields = 0

    def listen(self, timeout: float | None) -> None:
        """Take SIGTERM as a wish to end, and so does the end of ``timeout`` seconds. For the main thread."""
        signal.signal(signal.SIGTERM, lambda *_: self.ask("interrupted"))
        signal.signal(signal.SIGALRM, lambda *_: self._alarm())
        if timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, timeout)

    def ask(self, status: Reason) -> None:
        """End soon, or now where no epoch will."""
        if self.asked is None:
            self.asked = status
            signal.setitimer(signal.ITIMER_REAL, GRACE)
            if not self.training:
                self._raise()

    def saved(self) -> None:
        """A checkpoint is on the disk: the best moment to end, if that was asked for."""
        if self.asked is not None:
            self._raise()

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Around writing: raises `EndAsked` after it, not inside."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._overdue:
            self._raise()

    def _alarm(self) -> None:
        if self.asked is None:
            self.ask("timeout")
        else:
            self._raise()

    def _raise(self) -> None:
        if self._shields:
            self._overdue = True
            return
        # said once: what is done about it must not be interrupted again
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._overdue = False
        assert self.asked is not None
        raise EndAsked(self.asked)
