"""A small server that has imported torch and forks a process for every job: 0.04 s instead of 4 s for the import.

It reads lines from its standard input (``run <base64 pickle of a Job>``, ``prepare <base64 pickle of a Preparation>``,
``kill <job number>``), and writes events, its own and its jobs', to its standard output. It neither touches CUDA nor
imports user code. When its input closes, because its parent ended, it ends its jobs and itself; when the server dies,
its jobs see their pipe close and end too. Each job leads a process group, so whatever a job started ends with it.
"""

from __future__ import annotations

import base64
import gc
import os
import pickle
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from ablate.data.shared import offer
from ablate.execution.events import Event, ExecutorReady, NotStarted, ProcessExited, ProcessStarted, encode
from ablate.execution.executors.compiler import import_compiler, put_off, uses_compiler
from ablate.execution.jobs import Job
from ablate.execution.preparation import Preparation, prepare
from ablate.store.locks import BEAT
from ablate.store.store import Store

PATIENCE = 8.0
"""Seconds that a job has to end after SIGTERM, before it is killed."""


def serve() -> None:
    """Fork jobs until the input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by the parent until now
    warm_up()

    channel = os.dup(1)
    os.dup2(2, 1)  # only events may go into the pipe
    processes = Processes(channel)
    send(channel, ExecutorReady())

    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(processes.wake, selectors.EVENT_READ)
        buffer = b""
        while True:
            for key, _ in selector.select(BEAT):
                data = os.read(key.fd, 1 << 20)
                if key.fd == processes.wake:
                    reap(processes.jobs, channel)
                    continue
                if not data:
                    end_all(processes.jobs)
                    return
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    order, _, argument = line.partition(b" ")
                    if order == b"run":
                        processes.start(pickle.loads(base64.b64decode(argument)))
                    elif order == b"prepare":
                        processes.prepare(*pickle.loads(base64.b64decode(argument)))
                    elif order == b"kill":
                        processes.kill(int(argument))
            processes.beat()


class Processes:
    """The processes of jobs, forked from this one. ``jobs`` has the number of each by its process; ``wake`` becomes
    readable when one has ended. Events go to ``channel``.
    """

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.jobs: dict[int, int] = {}
        self._known: dict[int, Job] = {}
        self._alive, self._mine = os.pipe()
        self.wake, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._beaten = time.monotonic()

    def start(self, job: Job) -> None:
        """Fork the process of a job."""
        if uses_compiler(job.assignment.settings):
            import_compiler()

        def body() -> None:
            from ablate.execution.worker import main

            main(job, self.channel)

        if pid := self._fork(job.number, body):
            self._known[pid] = job

    def prepare(self, number: int, task: Preparation, keys: list[str]) -> None:
        """Fork a process that prepares jobs. ``keys`` are the datasets of all such processes."""
        offer(keys)
        self._fork(number, lambda: prepare(task, number, lambda event: send(self.channel, event)))

    def _fork(self, number: int, body: Callable[[], None]) -> int:
        """Fork a process that does what ``body`` says; returns its number, 0 if the system refuses it."""
        try:
            pid = os.fork()
        except OSError as error:
            send(self.channel, NotStarted(job=number, reason=error.strerror or str(error)))
            return 0
        if pid == 0:
            os.close(self._mine)
            become(body, self._alive, (self.wake, self._waking))
        with suppress(OSError):
            os.setpgid(pid, pid)  # here too, so that it is one before it may have to end
        self.jobs[pid] = number
        send(self.channel, ProcessStarted(job=number, pid=pid))
        return pid

    def kill(self, number: int) -> None:
        """Kill a job with everything that it started."""
        for pid, job in self.jobs.items():
            if job == number:
                kill_group(pid)

    def beat(self) -> None:
        """From time to time, show other machines that the jobs are alive."""
        self._known = {pid: job for pid, job in self._known.items() if pid in self.jobs}
        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        for pid, job in self._known.items():
            with suppress(OSError, ValueError):
                Store(job.root).beat(job.fingerprints, pid)


def warm_up() -> None:
    """Import what every job needs, torch's lazy imports too, but not its compiler. Starts no thread: forking is safe.

    What is imported is frozen: a garbage collection in a job would otherwise write to, and so copy, all of its pages.
    """
    import torch

    import ablate.execution.worker  # noqa: F401  what the forked jobs will ask for
    from ablate.registry import entries

    torch.set_num_threads(1)
    entries()
    put_off()
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    gc.collect()
    gc.freeze()


def become(body: Callable[[], None], alive: int, others: tuple[int, int]) -> None:
    """Be the process of a job, which does what ``body`` says; never returns."""
    code, server = 1, os.getppid()
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in others:
            os.close(descriptor)
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)

        def watch() -> None:
            os.read(alive, 1)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(PATIENCE)
            kill_group(os.getpid())

        threading.Thread(target=watch, daemon=True).start()
        body()
        code = 0
    except BaseException:
        # no caller sees it: print it into the job's log, or on the screen if there is no log yet
        with suppress(OSError):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        if os.getppid() != server:
            kill_group(os.getpid())  # the server is gone and cannot end what user code started
        os._exit(code)


def reap(jobs: dict[int, int], channel: int | None, *, infrastructure: bool = False) -> None:
    """Report which jobs' processes have ended, and kill what they started. ``infrastructure``: this process ended them,
    because it has to end itself.
    """
    for pid in list(jobs):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            continue
        # at once: the group's number stays reserved only while a member of it is alive
        kill_group(pid)
        number = jobs.pop(pid)
        if channel is not None:
            code = os.waitstatus_to_exitcode(status)
            send(channel, ProcessExited(job=number, code=code, infrastructure=infrastructure))


def end_all(jobs: dict[int, int], patience: float = PATIENCE) -> None:
    """End all jobs: SIGTERM first, SIGKILL after ``patience`` seconds."""
    for pid in jobs:
        os.kill(pid, signal.SIGTERM)
        os.killpg(pid, signal.SIGCONT)  # it may be stopped
    wait_for(jobs, patience)
    for pid in jobs:
        kill_group(pid)
    wait_for(jobs, patience)


def wait_for(jobs: dict[int, int], seconds: float) -> None:
    """Wait until all jobs have ended, at most ``seconds``."""
    until = time.monotonic() + seconds
    while jobs and time.monotonic() < until:
        reap(jobs, None)
        time.sleep(0.01)


def kill_group(pid: int) -> None:
    """Kill a job and everything that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def send(channel: int, event: Event) -> None:
    """Write one event."""
    with suppress(BrokenPipeError):
        os.write(channel, encode(event))


if __name__ == "__main__":
    sys.path = [entry for entry in sys.path if entry]
    serve()
    os._exit(0)  # tearing torch down takes a second, and the command would wait for it
