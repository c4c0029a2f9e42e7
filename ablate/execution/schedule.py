"""How many CPU threads each job gets, so that a study ends soonest. Does not import torch.

While there are more jobs than cores, one thread each is fastest. The last jobs would leave cores idle: they get several
threads if their networks are large enough to be faster with them.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Annotated

import numpy as np
from pydantic import Field

from ablate.execution.jobs import Job
from ablate.planning.plan import Plan
from ablate.store.records import MOST_THREADS
from ablate.store.store import Store

Threads = Annotated[int, Field(ge=1, le=MOST_THREADS)]

SPEEDUPS = ((2.0, 1.0), (8.0, 1.1), (20.0, 1.3), (45.0, 1.45), (100.0, 1.75), (360.0, 1.9))
"""Millions of multiplications in a step's forward pass → speedup by a second thread. Measured with
``python -m bench.threads``.
"""

UNKNOWN = 1.2
"""The same for jobs of unknown compute cost, such as the user's own training."""

FEW = 8
"""Jobs per core up to which threads are chosen. With more, the last ones hardly count."""

WORTH = 0.97
"""The part of a study's duration that must remain at most for more threads to be worth it."""


@dataclass(frozen=True)
class Task:
    """A job as far as its schedule is concerned.

    ``cost`` is its duration with one thread, in any unit, ``work`` its compute cost in millions of multiplications per
    step, None if unknown. ``threads``: the number that it has already. ``names`` are its runs, ``needs`` the runs that
    must end before it.
    """

    cost: float
    work: float | None = None
    threads: int | None = None
    names: Collection[str] = ()
    needs: Collection[str] = ()

    def duration(self, threads: int) -> float:
        """Its duration with that number of threads."""
        return self.cost / speedup(self.work, threads)


def speedup(work: float | None, threads: int) -> float:
    """How much faster a job is with several threads than with one, by Amdahl's law."""
    double = UNKNOWN
    if work is not None:
        sizes, measured = zip(*SPEEDUPS, strict=True)
        double = float(np.interp(log(max(work, 1e-9)), [log(size) for size in sizes], measured))
    parallel = 2 - 2 / double
    return 1 / (1 - parallel + parallel / threads)


def choose_threads(tasks: Sequence[Task], cores: int) -> list[int]:
    """The number of threads of each task, which start in this order, each as soon as enough cores are free.

    The tasks that end last get more threads as long as the last one then ends earlier.
    """
    best = [task.threads or 1 for task in tasks]
    if cores == 1 or len(tasks) > FEW * cores:
        return best
    ends = simulate(tasks, best, cores)
    while True:
        late = [i for i, task in enumerate(tasks) if task.threads is None and ends[i] > 0.99 * max(ends)]
        tried = []
        for threads in {2 * max((best[i] for i in late), default=cores), cores // max(len(late), 1), cores}:
            wider = [max(n, threads) if i in late else n for i, n in enumerate(best)]
            if threads <= cores and wider != best:
                tried.append((simulate(tasks, wider, cores), wider))
        if not tried or max((found := min(tried, key=lambda one: max(one[0])))[0]) >= WORTH * max(ends):
            return best
        ends, best = found


def simulate(tasks: Sequence[Task], threads: Sequence[int], cores: int) -> list[float]:
    """When each task ends, in the unit of the costs."""
    waiting, running, free, now = list(range(len(tasks))), list[tuple[float, int]](), cores, 0.0
    ends = [0.0] * len(tasks)
    while waiting or running:
        under_way = {name for i in (*waiting, *(i for _, i in running)) for name in tasks[i].names}
        for i in tuple(waiting):
            fits = min(threads[i], cores) <= free and under_way.isdisjoint(tasks[i].needs)
            if fits or not (running or free < cores):
                waiting.remove(i)
                free -= min(threads[i], cores)
                ends[i] = now + tasks[i].duration(threads[i])
                heapq.heappush(running, (ends[i], i))
        now, i = heapq.heappop(running)
        free += min(threads[i], cores)
    return ends


def schedule(jobs: Sequence[Job], plan: Plan, store: Store, cores: int) -> list[Job]:
    """The jobs with the number of threads of each. That of a run is kept in the study's folder, so that it stays the
    same if the command ends before the run has begun.
    """
    path = store.study_folder(plan.recipe.study) / "threads.json"
    kept = store.read(path, dict[str, Threads]) or {}
    tasks = [
        Task(
            cost=job.cost,
            work=job.work,
            threads=job.threads if job.bound else kept.get(job.fingerprints[0]),
            names=job.fingerprints,
            needs=job.needed(),
        )
        for job in jobs
    ]
    numbers = choose_threads(tasks, cores)
    known = {name: number for job, number in zip(jobs, numbers, strict=True) for name in job.fingerprints}
    current = {run.fingerprint for run in plan.runs}
    store.write_json(path, {name: number for name, number in kept.items() if name in current} | known)
    return [
        replace(job, threads=number, gain=1 - task.duration(number) / task.cost)
        for job, task, number in zip(jobs, tasks, numbers, strict=True)
    ]
