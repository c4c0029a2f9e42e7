"""Runs jobs of a cluster, one after another: ``python -m ablate.execution.executors.remote RUNS NAME``, with one job
per line on the standard input (base64 of a pickle).

Each job is a forked process. Events are appended to a file in the folder of runs, which the command reads. When it is
asked to end (SIGTERM: preemption, time limit, cancellation), it passes that on and begins no further job.
"""

from __future__ import annotations

import base64
import os
import pickle
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ablate.execution.events import ExecutorReady
from ablate.execution.executors.forkserver import Processes, reap, send, warm_up
from ablate.execution.jobs import Job
from ablate.store.locks import BEAT
from ablate.store.store import Store

EVENTS = "events.jsonl"
OUTPUT = "output.txt"


def work(root: Path, name: str, jobs: list[Job]) -> None:
    """Run jobs until all have ended, or this process is asked to end."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    warm_up()
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
                if select.select([processes.wake], [], [], BEAT)[0]:
                    os.read(processes.wake, 1 << 10)
                reap(processes.jobs, file.fileno(), infrastructure=bool(asked))
                processes.beat()


def encoded(jobs: list[Job]) -> bytes:
    """Jobs as lines for the standard input of this program."""
    return b"".join(base64.b64encode(pickle.dumps(job)) + b"\n" for job in jobs)


if __name__ == "__main__":
    sys.path = [entry for entry in sys.path if entry]
    work(Path(sys.argv[1]), sys.argv[2], [pickle.loads(base64.b64decode(line)) for line in sys.stdin.buffer])
    sys.stdout.flush()
    os._exit(0)
