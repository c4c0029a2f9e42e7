"""Runs jobs of a cluster, one after another: ``python -m ablate.execution.executors.remote RUNS NAME [FOLDER]``, with
one job per line on the standard input (base64 of a pickle). If an empty line follows them, the input stays open, and
everything ends when it closes. ``FOLDER``: the one of which this program's working folder is a copy.

Each job is a forked process. Events are appended to a file in the folder of runs, which the command reads. When it is
asked to end (SIGTERM: preemption, time limit, cancellation), it passes that on and begins no further job.
"""

from __future__ import annotations

import base64
import os
import pickle
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ablate.execution.events import ExecutorReady
from ablate.execution.executors.forkserver import Processes, send, warm_up
from ablate.execution.jobs import Job
from ablate.store.locks import BEAT
from ablate.store.store import Store

EVENTS = "events.jsonl"
OUTPUT = "output.txt"


def work(root: Path, name: str, jobs: list[Job], *, follows: bool = False) -> None:
    """Run jobs until all have ended, or this process is asked to end. ``follows``: it ends when its input closes."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    warm_up()
    inputs = [0] if follows else []
    store = Store(root)
    if store.disk.kind(store.job_folder(name) / EVENTS) != "file":
        return  # the command has submitted them again
    with store.disk.append(store.job_folder(name) / EVENTS) as file:
        processes = Processes(file.fileno())
        send(file.fileno(), ExecutorReady())
        for job in jobs:
            if asked:
                break
            processes.start(job)
            told = False
            while processes.jobs:
                if asked and not told:
                    told = True
                    for pid in processes.jobs:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGTERM)
                ready = select.select([processes.wake, *inputs], [], [], BEAT)[0]
                if 0 in ready:
                    os._exit(1)  # what started it is gone; jobs end when they see that this process is
                if ready:
                    os.read(processes.wake, 1 << 10)
                processes.reap(infrastructure=bool(asked))
                processes.beat()


def here(jobs: list[Job], copied: Path | None) -> list[Job]:
    """The jobs with the folders of their recipes on this machine. Exits if there is none."""
    if copied is not None:
        jobs = [replace(job, assignment=replace(job.assignment, folder=_copy(job, copied))) for job in jobs]
    for job in jobs:
        if not (folder := job.assignment.folder).is_dir():
            raise SystemExit(
                f"The recipe's folder (={folder}) is missing on {socket.gethostname()}. Use a folder on all nodes"
            )
    return jobs


def _copy(job: Job, copied: Path) -> Path:
    """Where the folder of a job's recipe is in the copy, the working folder."""
    folder = job.assignment.folder.resolve()
    if not folder.is_relative_to(copied):
        raise SystemExit(
            f"The recipe's folder (={folder}) is outside of working_dir (={copied}). Use a working_dir that contains it"
        )
    return Path.cwd() / folder.relative_to(copied)


def encoded(jobs: list[Job]) -> bytes:
    """Jobs as lines for the standard input of this program."""
    return b"".join(base64.b64encode(pickle.dumps(job)) + b"\n" for job in jobs)


if __name__ == "__main__":
    sys.path = [entry for entry in sys.path if entry]
    root, name, *copied = sys.argv[1:]
    lines = []
    while (line := sys.stdin.buffer.readline()).strip():
        lines.append(line)
    jobs = here([pickle.loads(base64.b64decode(line)) for line in lines], Path(copied[0]) if copied else None)
    work(Path(root), name, jobs, follows=bool(line))
    sys.stdout.flush()
    os._exit(0)
