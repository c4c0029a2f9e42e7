"""Ends commands and jobs in order; a job after its current epoch with a checkpoint if that is soon, else immediately.

A command ends by SIGHUP (closed terminal) and SIGTERM (batch systems) as by Ctrl-C.

Signals can arrive at any time. Files are written completely: nothing is raised inside `Ending.shield`. Where Python
ignores what is raised (in ``__del__``, in callbacks of C libraries), it is raised again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

SOON = 0.05
"""Seconds until an exception that Python had to ignore is raised again."""

GRACE = 4.0
"""Seconds for a job to reach the end of its epoch; less than the server waits."""

Reason = Literal["interrupted", "timeout"]


class EndAsked(BaseException):
    """The job was asked to end; ``status`` is the status of its runs."""

    def __init__(self, status: Reason) -> None:
        super().__init__(status)
        self.status = status


class Ending:
    """Whether this process was asked to end. ``training`` is set when the first epoch starts; ``grace``: seconds to
    reach the end of an epoch.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self.asked: Reason | None = None
        self.training = False
        self.raised = False
        self._overdue = False
        self._shields = 0

    def listen(self, timeout: float | None) -> None:
        """End on SIGTERM and after ``timeout`` seconds. Call it in the main thread."""
        signal.signal(signal.SIGTERM, lambda *_: self.ask("interrupted"))
        signal.signal(signal.SIGALRM, lambda *_: self._alarm())
        sys.unraisablehook = retrying(EndAsked, lambda: signal.setitimer(signal.ITIMER_REAL, SOON))
        if timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, timeout)

    def ask(self, status: Reason) -> None:
        """End after the current epoch, or immediately if no epoch has started."""
        if self.asked is None:
            self.asked = status
            signal.setitimer(signal.ITIMER_REAL, self.grace)
            if not self.training:
                self._raise()

    def saved(self) -> None:
        """Called when a checkpoint is on the disk: ends the job if requested."""
        if self.asked is not None:
            self._raise()

    def end_again(self) -> None:
        """End the job if it was ended, but user code handled that and went on."""
        if self.raised:
            self._raise()

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Context for writing files: `EndAsked` is raised after it, not inside."""
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
        # raised once, so that its handler is not interrupted
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._overdue, self.raised = False, True
        assert self.asked is not None
        raise EndAsked(self.asked)


Hook = Callable[["sys.UnraisableHookArgs"], object]


def retrying(kind: type[BaseException], again: Callable[[], object]) -> Hook:
    """A ``sys.unraisablehook`` that calls ``again`` for exceptions of this kind; others are printed as before."""
    before = sys.unraisablehook

    def hook(ignored: sys.UnraisableHookArgs) -> None:
        if issubclass(ignored.exc_type, kind):
            again()
        else:
            before(ignored)

    return hook


def interrupt_soon() -> None:
    """Send SIGINT to this process, from another thread."""
    timer = threading.Timer(SOON, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt, unless ignored (``nohup``). Use it in the main thread."""
    hook = sys.unraisablehook
    sys.unraisablehook = retrying(KeyboardInterrupt, interrupt_soon)

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
