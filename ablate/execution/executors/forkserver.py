"""A small server that has imported torch and forks a process for every job: 0.04 s instead of 4 s for the import.

It reads lines from its standard input (``run <base64 pickle of a Job>``, ``kill <job number>``), and writes events, its
own and its jobs', to its standard output. It neither touches CUDA nor imports user code. When its input closes, because
its parent ended, it ends its jobs and itself; when the server dies, its jobs see their pipe close and end too. Each job
leads a process group, so whatever a job started ends with it.
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
from contextlib import suppress

from ablate.execution.events import Event, ExecutorReady, NotStarted, ProcessExited, ProcessStarted, encode

PATIENCE = 8.0
"""Seconds that a job has to end after SIGTERM, before it is killed."""


def serve() -> None:
    """Fork jobs until the input closes."""
    warm_up()

    channel = os.dup(1)
    os.dup2(2, 1)  # only events may go into the pipe
    alive_read, alive_write = os.pipe()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: dict[int, int] = {}
    send(channel, ExecutorReady())

    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        buffer = b""
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 20)
                if key.fd == wake_read:
                    reap(jobs, channel)
                    continue
                if not data:
                    end_all(jobs)
                    return
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    order, _, argument = line.partition(b" ")
                    if order == b"run":
                        job = pickle.loads(base64.b64decode(argument))
                        try:
                            pid = os.fork()
                        except OSError as error:
                            send(channel, NotStarted(job=job.number, reason=error.strerror or str(error)))
                            continue
                        if pid == 0:
                            os.close(alive_write)
                            become(job, channel, alive_read, (wake_read, wake_write))
                        with suppress(OSError):
                            os.setpgid(pid, pid)  # here too, so that it is one before it may have to end
                        jobs[pid] = job.number
                        send(channel, ProcessStarted(job=job.number, pid=pid))
                    elif order == b"kill":
                        for pid, number in jobs.items():
                            if number == int(argument):
                                kill_group(pid)


def warm_up() -> None:
    """Import what every job needs, torch's lazy imports too. Starts no thread, so forking is safe.

    What is imported is frozen: a garbage collection in a job would otherwise write to, and so copy, all of its pages.
    """
    import torch

    import ablate.execution.worker  # noqa: F401  what the forked jobs will ask for
    from ablate.registry import entries

    torch.set_num_threads(1)
    entries()
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    gc.collect()
    gc.freeze()


def become(job: object, channel: int, alive: int, others: tuple[int, int]) -> None:
    """Be the process of a job; never returns."""
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
        from ablate.execution.worker import main

        main(job, channel)  # type: ignore[arg-type]
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


def reap(jobs: dict[int, int], channel: int | None) -> None:
    """Report which jobs' processes have ended, and kill what they started."""
    for pid in list(jobs):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            continue
        # at once: the group's number stays reserved only while a member of it is alive
        kill_group(pid)
        number = jobs.pop(pid)
        if channel is not None:
            send(channel, ProcessExited(job=number, code=os.waitstatus_to_exitcode(status)))


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
