"""Publishing while a study trains: a helper process is started once there is something to publish, and told to go on every so often."""

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
from ablate.tracking.address import resolve
from ablate.tracking.artifacts import Rendering
from ablate.tracking.connection import QUIET
from ablate.tracking.error_text import out_of_time
from ablate.tracking.publish import Published, needs_publishing
from ablate.tracking.publisher_process import Errand

FIRST = 60.0
"""Seconds of training after which curves are published even though no run has ended."""

EVERY = 20.0
"""Seconds between the end of one publication and the beginning of the next."""

MOST = 3600.0
"""Seconds between two attempts at a tracker that fails, at most; the first is repeated after 15 times `EVERY`."""

WITHIN = 120.0
"""Seconds that the command waits for the last publication, after training."""

PATIENCE = 3.0
"""Seconds of waiting after which the user is told what for."""

FAREWELL = 3.0
"""Seconds that an interrupted command waits until MLflow knows that its runs do not go on."""


class Background:
    """Publishes a study beside its training. `event` never waits and never raises; `finish` sends the rest, and waits so long and no longer.

    ``rendering`` makes the table and its formats; it must be a function of a module.
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
        """Publish what is missing and end the helper. ``waiting`` is called once, should it take more than a moment.

        A KeyboardInterrupt passes through, with the helper ended.
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
        """Let MLflow know that runs do not go on, if it was told that they were, and end the helper."""
        try:
            if self._helper is not None:
                self._order()
                self._wait(FAREWELL)
        except Exception:
            self._ended()
        finally:
            self.stop()

    def stop(self) -> None:
        """End the helper, in whatever it does."""
        if self._helper is not None:
            self._helper.kill()
            self._helper.communicate()
            self._helper = None

    def _order(self) -> None:
        """Ask for one more publication; starts the helper if need be."""
        if self._helper is None:
            self._start()
        assert self._helper is not None
        assert self._helper.stdin is not None
        self._helper.stdin.write(b"publish\n")
        self._helper.stdin.flush()
        self.asked += 1

    def _start(self) -> None:
        self._helper = subprocess.Popen(
            [sys.executable, "-P", "-m", "ablate.tracking.publisher_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the command
            env={**QUIET, **os.environ},
        )
        self.asked = self.answered = 0
        self._said = b""
        assert self._helper.stdin is not None
        errand = pickle.dumps(self.errand)
        self._helper.stdin.write(b"%d\n%s" % (len(errand), errand))

    def _wait(self, seconds: float) -> bool:
        """Whether everything that was asked for is answered within so many seconds."""
        until = self.clock() + seconds
        while self.answered < self.asked:
            left = until - self.clock()
            if left <= 0:
                return False
            self._listen(left)
        return True

    def _listen(self, seconds: float) -> None:
        """Take in answers, waiting for the first so many seconds at most. Raises BrokenPipeError where the helper has ended."""
        assert self._helper is not None
        assert self._helper.stdout is not None
        while select.select([self._helper.stdout], [], [], seconds)[0]:
            data = os.read(self._helper.stdout.fileno(), 1 << 16)
            if not data:
                raise BrokenPipeError
            *lines, self._said = (self._said + data).split(b"\n")
            for line in lines:
                self._answer(Published(**json.loads(line)))
            seconds = 0.0

    def _answer(self, published: Published) -> None:
        self.answered += 1
        self._note(published)

    def _note(self, published: Published) -> None:
        self.last = published
        self.pause = EVERY if published.ok else min(15 * self.pause, MOST)
        self.next = self.clock() + self.pause

    def _ended(self) -> None:
        """The helper is gone, or could not be started: another one is, in its time."""
        self.stop()
        self._note(Published(False, self.address.shown, "the process that publishes to MLflow ended unexpectedly."))
