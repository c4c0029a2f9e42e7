"""What the command costs on a large cluster: events of many runs on a pretended one, on which a run takes no time. Run
with ``python -m bench.cluster [RUNS [SLOTS]]``.
"""

from __future__ import annotations

import base64
import pickle
import resource
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ablate.execution.events import (
    EpochEnded,
    ExecutorReady,
    ProcessExited,
    ProcessStarted,
    RunEnded,
    RunStarted,
    encode,
)
from ablate.execution.executors.cluster import ClusterExecutor, State
from ablate.execution.executors.remote import EVENTS
from ablate.execution.jobs import Job, make_jobs
from ablate.execution.scheduler import Scheduler
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.store.provenance import Provenance
from ablate.store.store import Store
from bench.measure import machine
from bench.store import LARGE

EPOCHS = 10
"""Epochs that a run reports; in a real one, a few events a second."""


class Instant:
    """A cluster on which all submitted jobs have ended when it is looked at. ``own``: seconds that it took itself."""

    title, lasting = "Instant", True

    def __init__(self, store: Store) -> None:
        self.store = store
        self.queue: deque[tuple[str, bytes]] = deque()
        self.own = 0.0

    def submit(self, name: str, command: Sequence[str], jobs: bytes, output: Path, after: Collection[str]) -> None:
        self.queue.append((name, jobs))

    def states(self, names: Collection[str]) -> Mapping[str, State]:
        began = time.perf_counter()
        while self.queue:
            name, lines = self.queue.popleft()
            events = b"".join(events_of(pickle.loads(base64.b64decode(line))) for line in lines.splitlines())
            with open(self.store.job_folder(name) / EVENTS, "ab") as file:
                file.write(encode(ExecutorReady()) + events)
        self.own += time.perf_counter() - began
        return {name: State("running") for name in names}

    def cancel(self, names: Collection[str]) -> None:
        pass

    def close(self) -> None:
        pass


def events_of(job: Job) -> bytes:
    """What a job reports."""
    run = job.run_of(0)
    epochs = [
        EpochEnded(**run, epoch=epoch, epochs=EPOCHS, train_loss=0.5, valid_loss=0.6, seconds=1.0)
        for epoch in range(1, EPOCHS + 1)
    ]
    begin = ProcessStarted(job=job.number, pid=1), RunStarted(**run, epochs=EPOCHS, parameters=10)
    end = RunEnded(**run, status="finished", epoch=EPOCHS), ProcessExited(job=job.number, code=0)
    return b"".join(map(encode, (*begin, *epochs, *end)))


def main(runs: int, slots: int) -> None:
    """Print a table of costs."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "large.yaml"
        path.write_text(LARGE % (200, ", ".join(f"{0.001 * i:.3f}" for i in range(1, runs // 200))))
        store = Store(folder / "runs")
        clock = time.perf_counter()
        plan = make_plan(Recipe.load(path), store)
        write_study(plan, store)
        planned, clock = time.perf_counter() - clock, time.perf_counter()
        jobs = make_jobs(plan.to_do(), plan, store, Provenance())
        made = time.perf_counter() - clock
        cluster = Instant(store)
        scheduler = Scheduler(["cpu"] * slots, store, executor=ClusterExecutor(cluster, store, "large", every=0.0))
        clock, count = time.perf_counter(), 0
        for _ in scheduler.run(jobs):
            count += 1
        took = time.perf_counter() - clock - cluster.own
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{len(jobs):,} runs on {slots:,} slots, {count:,} events\n")
        print("| Part | seconds | per run |\n|:--|--:|--:|")
        for name, seconds in (("plan", planned), ("jobs", made), ("submit, claim, read events", took)):
            print(f"| {name} | {seconds:.0f} | {1000 * seconds / len(jobs):.2f} ms |")
        print(f"\nPeak memory {peak:.0f} MB. {machine()}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [100_000, 1000][len(given) :]))
