"""The parent's end of the server that forks jobs: starts it when the first job comes, sends orders, hears events."""

from __future__ import annotations

import base64
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

from ablate.execution.events import Event, decode
from ablate.execution.jobs import Job


class LocalExecutor:
    """Jobs forked from one server (`ablate.execution.executors.forkserver`), which is started anew if it should die."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._buffer = b""

    def submit(self, job: Job) -> None:
        """Begin a job in a process of its own."""
        if self._server is None:
            self._server = self._serve()
            self._ready, self._buffer = False, b""
        self._order(b"run " + base64.b64encode(pickle.dumps(job)))

    def cancel(self, number: int) -> None:
        """End a job's process without asking."""
        self._order(b"kill %d" % number)

    def poll(self, wait: float | None) -> list[Event] | None:
        """What jobs have said, after ``wait`` seconds at the latest. None: the server has died, and all jobs with it.

        Raises RuntimeError where it could not even begin.
        """
        if self._server is None:
            return None
        assert self._server.stdout is not None
        until = None if wait is None else time.monotonic() + wait
        while True:
            left = None if until is None else max(until - time.monotonic(), 0.0)
            if not select.select([self._server.stdout], [], [], left)[0]:
                return []
            data = os.read(self._server.stdout.fileno(), 1 << 16)
            if not data:
                self._died()
                return None
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            if lines:
                self._ready = True
                return [decode(line) for line in lines]

    def close(self) -> None:
        """End the server and what still runs; returns when all of it is gone. A second Ctrl-C meanwhile ends it without patience."""
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            with suppress(BrokenPipeError):
                server.stdin.close()
            # jobs go on talking until they have ended: nobody may meet a full pipe
            while os.read(server.stdout.fileno(), 1 << 16):
                pass
            server.wait()
        except BaseException:
            server.send_signal(signal.SIGKILL)
            server.wait()
            raise
        finally:
            server.stdout.close()

    def _serve(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ablate.execution.executors.forkserver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment,
            bufsize=0,
        )

    def _order(self, line: bytes) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        data = line + b"\n"
        with suppress(BrokenPipeError):  # it has died, as the next look at its events will say
            while data:
                data = data[self._server.stdin.write(data) :]

    def _died(self) -> None:
        server, self._server = self._server, None
        assert server is not None
        assert server.stdin is not None
        assert server.stdout is not None
        with suppress(BrokenPipeError):
            server.stdin.close()
        server.stdout.close()
        code = server.wait()
        if not self._ready:
            raise RuntimeError(
                f"the process that jobs are forked from ended with code {code} before it was ready; what it said is above"
            )
