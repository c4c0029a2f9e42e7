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
from collections.abc import Callable, Iterator
from contextlib import suppress

from ablate.data.shared import offer
from ablate.execution.events import Event, ExecutorReady, NotStarted, ProcessExited, ProcessStarted, encode
from ablate.execution.executors.compiler import import_compiler, put_off, uses_compiler
from ablate.execution.executors.early_import import UNFIT, EarlyImport, import_and_wait, module_of
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
                    processes.reap()
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
    """The processes of jobs, forked from this one. ``jobs`` has the number of each by its process, None for one that
    waits for a job; ``wake`` becomes readable when one has ended. Events go to ``channel``.
    """

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.jobs: dict[int, int | None] = {}
        self._known: dict[int, Job] = {}
        self._imported: list[EarlyImport] = []
        self._given: set[int] = set()
        self._alive, self._mine = os.pipe()
        self.wake, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._beaten = time.monotonic()

    def start(self, job: Job) -> None:
        """Fork the process of a job, or take one that waits."""
        if uses_compiler(job.assignment.settings):
            import_compiler()
        elif (one := self._waiting(job)) is not None:
            self._known[one.pid] = job
            self._given.add(one.pid)
            self._begun(one.pid, job.number)
            one.give(job)
            return

        def body() -> None:
            from ablate.execution.worker import main

            main(job, self.channel)

        if pid := self._fork(job.number, body):
            self._known[pid] = job

    def prepare(self, number: int, task: Preparation, keys: list[str]) -> None:
        """Fork a process that prepares jobs. ``keys`` are the datasets of all such processes."""
        offer(keys)
        self._fork(number, lambda: prepare(task, number, lambda event: send(self.channel, event)))
        if hasattr(os, "memfd_create") and not uses_compiler(task.settings):
            for _ in range(task.jobs):
                self._import(task)

    def _import(self, task: Preparation) -> None:
        """Fork a process that imports what a job will need, and waits for it."""
        choice, folder = task.settings.data, task.folder
        try:
            job, (tell, told) = os.memfd_create("ablate job"), os.pipe()
        except OSError:
            return

        def body() -> None:
            os.close(told)
            import_and_wait(choice, folder, job, tell, self.channel)

        pid = self._fork(None, body)
        os.close(tell)
        if pid:
            self._imported.append(EarlyImport(pid, module_of(choice, folder), job, told))
        else:
            os.close(job)
            os.close(told)

    def _waiting(self, job: Job) -> EarlyImport | None:
        """A process that has imported, or is importing, what the job needs."""
        module = module_of(job.assignment.settings.data, job.assignment.folder)
        for one in self._imported:
            if one.module == module:
                self._imported.remove(one)
                return one
        return None

    def _fork(self, number: int | None, body: Callable[[], None]) -> int:
        """Fork a process that does what ``body`` says; returns its number, 0 if the system refuses it."""
        try:
            pid = os.fork()
        except OSError as error:
            if number is not None:
                send(self.channel, NotStarted(job=number, reason=error.strerror or str(error)))
            return 0
        if pid == 0:
            os.close(self._mine)
            become(body, self._alive, (self.wake, self._waking))
        with suppress(OSError):
            os.setpgid(pid, pid)  # here too, so that it is one before it may have to end
        self._begun(pid, number)
        return pid

    def _begun(self, pid: int, number: int | None) -> None:
        self.jobs[pid] = number
        if number is not None:
            send(self.channel, ProcessStarted(job=number, pid=pid))

    def reap(self, *, infrastructure: bool = False) -> None:
        """Report which jobs have ended; ``infrastructure``: because this process has to end.

        A job whose process was unfit starts again in a new one. When a job has ended, no process waits any longer.
        """
        for pid, number, code in ended(self.jobs):
            job = self._known.pop(pid, None)
            for one in [one for one in self._imported if one.pid == pid or (job is not None and code != UNFIT)]:
                self._imported.remove(one)
                os.close(one.job)
                os.close(one.told)
                kill_group(one.pid)
            if job is not None and code == UNFIT and pid in self._given:
                self.start(job)
            elif number is not None:
                send(self.channel, ProcessExited(job=number, code=code, infrastructure=infrastructure))

    def kill(self, number: int) -> None:
        """Kill a job with everything that it started."""
        for pid, job in self.jobs.items():
            if job == number:
                kill_group(pid)

    def beat(self) -> None:
        """From time to time, show other machines that the jobs are alive."""
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


def ended(jobs: dict[int, int | None]) -> Iterator[tuple[int, int | None, int]]:
    """Take out of ``jobs`` those whose processes have ended, and kill what they started: process, job, exit code."""
    for pid in list(jobs):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            # at once: the group's number stays reserved only while a member of it is alive
            kill_group(pid)
            yield pid, jobs.pop(pid), os.waitstatus_to_exitcode(status)


def end_all(jobs: dict[int, int | None], patience: float = PATIENCE) -> None:
    """End all jobs: SIGTERM first, SIGKILL after ``patience`` seconds."""
    for pid in jobs:
        os.kill(pid, signal.SIGTERM)
        os.killpg(pid, signal.SIGCONT)  # it may be stopped
    wait_for(jobs, patience)
    for pid in jobs:
        kill_group(pid)
    wait_for(jobs, patience)


def wait_for(jobs: dict[int, int | None], seconds: float) -> None:
    """Wait until all jobs have ended, at most ``seconds``."""
    until = time.monotonic() + seconds
    while jobs and time.monotonic() < until:
        for _ in ended(jobs):
            pass
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
