"""Publishes a study during training, in a helper process that is asked for a publication at intervals.

In a separate process, neither the import of MLflow (seconds, mostly with Python's global lock) nor a slow server delays
the events of jobs.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Callable

from ablate.execution.events import Event, RunEnded
from ablate.planning.plan import Plan
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.address import out_of_time, resolve
from ablate.tracking.connection import QUIET
from ablate.tracking.publish import Published, needs_publishing
from ablate.tracking.publisher_process import Errand
from ablate.tracking.rendering import Rendering

FIRST = 60.0
"""Seconds of training before curves are published although no run has ended."""

EVERY = 20.0
"""Seconds between publications."""

MOST = 3600.0
"""Maximum number of seconds between attempts after errors; the first interval is 15 times `EVERY`."""

WITHIN = 120.0
"""Seconds that the command waits for the last publication after training."""

PATIENCE = 3.0
"""Seconds of waiting before a message is shown."""

FAREWELL = 3.0
"""Seconds that an interrupted command waits for the publication of its runs' status."""


class Publisher:
    """Publishes a study during its training. `event` never blocks or raises; `finish` sends the rest with a time limit.

    ``rendering`` renders the table; it must be a function of a module.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        tracking_uri: str | None,
        rendering: Callable[[StudyRecord, Store], Rendering],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = resolve(tracking_uri)
        self.errand = Errand(plan, store, self.address.uri, rendering)
        self.clock = clock
        self.began: float | None = None
        self.next = float("-inf")
        self.pause = EVERY
        self.asked = self.answered = 0
        self.last = Published(True, self.address.shown)
        self._helper: subprocess.Popen[bytes] | None = None
        self._said = b""

    def event(self, event: Event) -> None:
        """Take an event of a job, and have the helper publish where it is time."""
        now = self.clock()
        if self.began is None:
            self.began = now
        try:
            if self._helper is None:
                if now >= self.next and (isinstance(event, RunEnded) or now - self.began >= FIRST):
                    self._order()
                return
            self._listen(0)
            if self.answered == self.asked and now >= self.next:
                self._order()
        except Exception:  # whatever it is: the training goes on
            self._ended()

    def finish(
        self, rendering: Rendering, within: float = WITHIN, waiting: Callable[[], None] | None = None
    ) -> Published:
        """Publish what is missing and stop the helper. ``waiting`` is called once if it takes more than a few seconds.

        On KeyboardInterrupt, the helper is stopped and the exception raised.
        """
        try:
            if self._helper is None:
                now = self.errand.now()
                if not needs_publishing(now, self.errand.store, self.address.uri, rendering):
                    return self.last
            self._order()
            if not self._wait(min(PATIENCE, within)):
                if waiting is not None:
                    waiting()
                if not self._wait(within - PATIENCE):
                    return Published(False, self.address.shown, out_of_time(self.address, within))
            return self.last
        except Exception:
            self._ended()
            return self.last
        finally:
            self.stop()

    def interrupted(self) -> None:
        """Publish that runs were interrupted, if anything was published, and stop the helper."""
        try:
            if self._helper is not None:
                self._order()
                self._wait(FAREWELL)
        except Exception:
            self._ended()
        finally:
            self.stop()

    def stop(self) -> None:
        """Kill the helper."""
        if self._helper is not None:
            self._helper.kill()
            self._helper.communicate()
            self._helper = None

    def _order(self) -> None:
        """Request a publication; starts the helper if necessary."""
        order = b"publish\n"
        if self._helper is None:
            self._helper = subprocess.Popen(
                [sys.executable, "-P", "-m", "ablate.tracking.publisher_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # not interrupted by Ctrl-C
                env={**QUIET, **os.environ},
            )
            self.asked = self.answered = 0
            self._said = b""
            errand = pickle.dumps(self.errand)
            order = b"%d\n%s%s" % (len(errand), errand, order)
        assert self._helper.stdin is not None
        self._helper.stdin.write(order)
        self._helper.stdin.flush()
        self.asked += 1

    def _wait(self, seconds: float) -> bool:
        """Wait for all requested publications; returns whether they were done within ``seconds``."""
        until = self.clock() + seconds
        while self.answered < self.asked:
            left = until - self.clock()
            if left <= 0:
                return False
            self._listen(left)
        return True

    def _listen(self, seconds: float) -> None:
        """Read answers, waiting up to ``seconds`` for the first. Raises BrokenPipeError if the helper has exited."""
        assert self._helper is not None
        assert self._helper.stdout is not None
        while select.select([self._helper.stdout], [], [], seconds)[0]:
            data = os.read(self._helper.stdout.fileno(), 1 << 16)
            if not data:
                raise BrokenPipeError
            *lines, self._said = (self._said + data).split(b"\n")
            self.answered += len(lines)
            for line in lines:
                self._note(Published(**json.loads(line)))
            seconds = 0.0

    def _note(self, published: Published) -> None:
        self.last = published
        self.pause = EVERY if published.ok or published.refused else min(15 * self.pause, MOST)
        self.next = self.clock() + self.pause

    def _ended(self) -> None:
        """The helper has exited or could not be started: a new one is started later."""
        self.stop()
        self._note(Published(False, self.address.shown, "The process that uploads to MLflow exited unexpectedly."))
