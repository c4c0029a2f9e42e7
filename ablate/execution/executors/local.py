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
from collections.abc import Collection, Sequence
from contextlib import suppress
from math import inf

from ablate.execution.events import (
    Answered,
    Event,
    Listener,
    Loading,
    NotStarted,
    ProcessExited,
    ProcessStarted,
    decode,
)
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.executors.forkserver import PATIENCE
from ablate.execution.jobs import Job
from ablate.execution.preparation import Answers, Patience, Preparation

FAREWELL = 3 * PATIENCE
"""Seconds that the server has to end itself and its jobs, before it is killed; it waits twice for its jobs."""

SLOW = 2.0
"""Seconds after which the user sees that data are being loaded."""


class LocalExecutor:
    """Forks jobs from a server (`ablate.execution.executors.forkserver`), started with the first job, and again if it
    dies.
    """

    losses = 3
    title = ""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._buffer = b""
        self._jobs: dict[int, int | None] = {}

    def submit(self, job: Job) -> None:
        """Start a job in a process of its own."""
        self._start()
        self._jobs[job.number] = None
        self._order(b"run " + base64.b64encode(pickle.dumps(job)))

    def prepare(
        self,
        tasks: Sequence[Preparation],
        *,
        at_once: int,
        loading: float | None = None,
        listen: Listener | None = None,
    ) -> Answers:
        """Do what is to be done before any job is submitted, in a process for each task; returns the answers, as far as
        they are known in time.

        ``loading``: seconds that a process may load, None for no limit. ``listen`` hears of it if it takes long.
        """
        keys = [task.key for task in tasks if task.shares]
        waiting = dict(enumerate(tasks))
        running: dict[int, Patience] = {}
        answers, told = Answers(tasks), listen is None
        while waiting or running:
            while waiting and len(running) < at_once:
                task = waiting.pop(number := min(waiting))
                running[number] = Patience(task.patience, inf if loading is None else loading)
                self._start()
                self._jobs[number] = None
                self._order(b"prepare " + base64.b64encode(pickle.dumps((number, task, keys))))
            until = min(one.until for one in running.values())
            slow = min((one.since + SLOW for one in running.values() if one.loading and not told), default=inf)
            for event in self.poll(None if min(until, slow) == inf else max(min(until, slow) - time.monotonic(), 0.0)):
                if isinstance(event, Answered):
                    answers.take(event)
                elif isinstance(event, Loading):
                    running[event.job].turn(loading=event.begun)
                elif isinstance(event, ProcessStarted):
                    running[event.job].begin()
                elif isinstance(event, ProcessExited | NotStarted):
                    running.pop(event.job, None)
            now = time.monotonic()
            if listen is not None and not told and now >= slow:
                told = True
                listen(Loading(begun=True))
            for number, one in running.items():
                if now >= one.until:
                    self.cancel(number)
                    one.since = inf
        return answers

    def cancel(self, number: int) -> None:
        """Kill a job's process."""
        self._order(b"kill %d" % number)

    def poll(self, wait: float | None) -> list[Event]:
        """The events since the last call, after ``wait`` seconds at most. If the server died, all jobs died with it.

        Raises ExecutorError if the server could not start.
        """
        assert self._server is not None
        assert self._server.stdout is not None
        until = None if wait is None else time.monotonic() + wait
        while True:
            left = None if until is None else max(until - time.monotonic(), 0.0)
            if not select.select([self._server.stdout], [], [], left)[0]:
                return []
            data = os.read(self._server.stdout.fileno(), 1 << 16)
            if not data:
                return self._died()
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            if lines:
                self._ready = True
                return self._noted([decode(line) for line in lines])

    def submit_all(self, jobs: Sequence[Job]) -> int:
        """`Executor.submit_all`: jobs on this machine end with the command."""
        return 0

    def waiting(self, names: Collection[str]) -> set[str]:
        """`Executor.waiting`: only the cluster of a queued job knows."""
        return set(names)

    def close(self) -> None:
        """End the server and its jobs; returns when they are gone. A second Ctrl-C meanwhile kills them."""
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.send_signal(signal.SIGCONT)  # a stopped server ends nothing
            with suppress(BrokenPipeError):
                server.stdin.close()
            if not self._silent(server, FAREWELL):
                self._kill(server)
            server.wait()
        except BaseException:
            self._kill(server)
            raise
        finally:
            server.stdout.close()

    def _noted(self, events: list[Event]) -> list[Event]:
        """The events, once it is known from them which jobs have a process."""
        for event in events:
            if isinstance(event, ProcessStarted):
                self._jobs[event.job] = event.pid
            elif isinstance(event, ProcessExited | NotStarted):
                self._jobs.pop(event.job, None)
        return events

    def _kill(self, server: subprocess.Popen[bytes]) -> None:
        """Kill the server and its jobs, stopped ones too, with everything that they started."""
        for pid in (pid for pid in self._jobs.values() if pid is not None):
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == server.pid:  # the number may be another process's by now
                    os.killpg(pid, signal.SIGKILL)
        server.kill()
        server.wait()

    def _silent(self, server: subprocess.Popen[bytes], seconds: float) -> bool:
        """Read until nothing writes any more, because a full pipe would block jobs; False after ``seconds``."""
        assert server.stdout is not None
        until = time.monotonic() + seconds
        while select.select([server.stdout], [], [], max(until - time.monotonic(), 0.0))[0]:
            if not os.read(server.stdout.fileno(), 1 << 16):
                return True
        return False

    def _start(self) -> None:
        """Start the server, unless it runs."""
        if self._server is None:
            self._server = self._serve()
            self._ready, self._buffer = False, b""

    def _serve(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        # it is to ignore Ctrl-C, but would be interrupted before it has said so
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "ablate.execution.executors.forkserver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env=environment,
                bufsize=0,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _order(self, line: bytes) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        data = line + b"\n"
        with suppress(BrokenPipeError):  # it died, as the next poll will find
            while data:
                data = data[self._server.stdin.write(data) :]

    def _died(self) -> list[Event]:
        server, self._server = self._server, None
        assert server is not None
        assert server.stdin is not None
        assert server.stdout is not None
        with suppress(BrokenPipeError):
            server.stdin.close()
        server.stdout.close()
        code = server.wait()
        if not self._ready and code >= 0:
            raise ExecutorError(
                f"The server that starts jobs ended with exit code {code} before it was ready. "
                "See its output above, fix the problem, and rerun the command."
            )
        return self._noted([ProcessExited(job=number, code=code, infrastructure=True) for number in self._jobs])
