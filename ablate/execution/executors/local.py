"""The executor for this machine: the parent's end of the fork server."""

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
    """Forks jobs from a server (`ablate.execution.executors.forkserver`), started with the first job, and again if it
    dies.
    """

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._buffer = b""

    def submit(self, job: Job) -> None:
        """Start a job in a process of its own."""
        if self._server is None:
            self._server = self._serve()
            self._ready, self._buffer = False, b""
        self._order(b"run " + base64.b64encode(pickle.dumps(job)))

    def cancel(self, number: int) -> None:
        """Kill a job's process."""
        self._order(b"kill %d" % number)

    def poll(self, wait: float | None) -> list[Event] | None:
        """The events since the last call, after ``wait`` seconds at most. None: the server died, and all jobs with it.

        Raises RuntimeError if the server could not start.
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
        """End the server and its jobs; returns when they are gone. A second Ctrl-C meanwhile kills them."""
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            with suppress(BrokenPipeError):
                server.stdin.close()
            # read until the end: a full pipe would block jobs that still write
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
        with suppress(BrokenPipeError):  # it died, as the next poll will find
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
            raise RuntimeError(f"the fork server ended with exit code {code} before it was ready; see its output above")
