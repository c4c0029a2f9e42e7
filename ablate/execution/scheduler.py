"""Runs jobs on an executor: as many at once as there are slots, each in a process of its own.

Runs that another command trains are left to it: their jobs take no slot, and come back when that command releases them.
A job whose process dies is retried from its checkpoint; the seeds of a stack that fails are trained one by one.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from ablate.execution.events import (
    Event,
    JobBusy,
    JobRetried,
    ProcessExited,
    RunEnded,
    StackFailed,
    StoreFailed,
    WaitingForOthers,
)
from ablate.execution.jobs import Job
from ablate.store import checkpoints
from ablate.store.disk import DiskError
from ablate.store.records import RunRecord, Status
from ablate.store.store import Store

POLL = 0.25
"""Seconds between two checks of runs that another command trains."""

OVERTIME = 10.0
"""Seconds that a job has to end by itself after its timeout, before it is killed."""


class Executor(Protocol):
    """Starts processes for jobs, and reports what happens in them."""

    def submit(self, job: Job) -> None:
        """Start a job in a process of its own."""

    def cancel(self, number: int) -> None:
        """Kill a job's process."""

    def poll(self, wait: float | None) -> list[Event] | None:
        """The events since the last call, after ``wait`` seconds at most; `ProcessExited` is a job's last.

        None: all processes ended at once.
        """

    def close(self) -> None:
        """End all processes; returns when they are gone."""


@dataclass
class Running:
    """A running job: its slot, its deadline (monotonic seconds), the seeds that have ended.

    ``fate`` decides what happens when its process exits.
    """

    job: Job
    slot: str
    deadline: float
    ended: set[int] = field(default_factory=set)
    fate: str = ""

    def left(self) -> list[int]:
        """The seeds that have not ended."""
        return [seed for seed in self.job.assignment.seeds if seed not in self.ended]


class Scheduler:
    """Runs jobs in slots. A slot is a CPU core (device ``cpu``) or a GPU (``cuda:0`` …).

    ``retries``: how often a job is retried whose process was killed by a signal.
    """

    def __init__(
        self, slots: Sequence[str], store: Store, *, retries: int = 1, executor: Executor | None = None
    ) -> None:
        if executor is None:
            from ablate.execution.executors.local import LocalExecutor

            executor = LocalExecutor()
        self.executor, self.store, self.retries = executor, store, retries
        self.free = list(slots)
        self.waiting: deque[Job] = deque()
        self.elsewhere: list[Job] = []
        self.running: dict[int, Running] = {}
        self.deaths: dict[str, int] = {}
        self.count = 0
        self.looked = 0.0
        self.said_waiting = False
        self.stopped = False

    def run(self, jobs: Sequence[Job], *, fail_fast: bool = False) -> Iterator[Event]:
        """Run all jobs; yields events as they come. Closing the iterator ends all jobs.

        Raises `DiskError` if the store cannot be written.
        """
        self.waiting.extend(jobs)
        try:
            while self.waiting or self.elsewhere or self.running:
                for event in chain(self._begin(), self._hear()):
                    if fail_fast and isinstance(event, RunEnded) and event.badly:
                        self.stopped = True
                        self.waiting.clear()
                        self.elsewhere.clear()
                    yield event
        finally:
            self.close()

    def close(self) -> None:
        """End all running jobs; returns when they are gone."""
        self.executor.close()

    # what to do next

    def _begin(self) -> Iterator[Event]:
        """Fill the free slots, and check the runs that were left to other processes."""
        if self.elsewhere and time.monotonic() - self.looked >= POLL:
            self.looked = time.monotonic()
            jobs, self.elsewhere = self.elsewhere, []
            for job in jobs:
                whole = self._taken(job) == list(job.assignment.seeds)
                (self.elsewhere if whole else self.waiting).append(job)
        while self.free and (ready := self._next()) is not None:
            yield from self._open(ready)
        if self.elsewhere and not self.running and not self.said_waiting:
            self.said_waiting = True
            yield WaitingForOthers(runs=sum(len(job.fingerprints) for job in self.elsewhere))

    def _next(self) -> Job | None:
        """Take the first waiting job whose sources have all ended."""
        unsettled = self._unsettled()
        for i, job in enumerate(self.waiting):
            if unsettled.isdisjoint(job.needed()):
                del self.waiting[i]
                return job
        return None

    def _unsettled(self) -> set[str]:
        """The runs that have not ended; empty if no job waits for others."""
        if not any(job.needed() for job in self.waiting):
            return set()
        under_way = (running.job.only(running.left()) for running in self.running.values())
        return {name for job in chain(self.waiting, self.elsewhere, under_way) for name in job.fingerprints}

    def _lacking(self, job: Job) -> dict[int, str]:
        """The seeds of a job whose sources ended without weights, each with the reason."""
        found: dict[int, str] = {}
        for seed in job.assignment.seeds:
            for row, name in job.needs.get(seed, {}).items():
                record = self.store.record(name)
                if record.status != "finished":
                    found[seed] = f"it is based on {row}, seed {seed} (status: {record.status.replace('_', ' ')})"
        return found

    def _open(self, job: Job) -> Iterator[Event]:
        """Start what is left of a job; leave the rest to the processes that train it."""
        records = {seed: self.store.record(name) for seed, name in job.runs}
        done = [seed for seed, record in records.items() if job.settles(record)]
        if done and (len(done) == len(records) or not job.together):
            for seed in done:
                yield self._ended(job, seed, records[seed], elsewhere=True)
            job = job.only([seed for seed in records if seed not in done])
        if not job.together and (lacking := self._lacking(job)):
            for seed, reason in lacking.items():
                yield from self._write_off(job, [seed], "failed", reason)
            job = job.only([seed for seed in job.assignment.seeds if seed not in lacking])
        taken = self._taken(job)
        if taken and job.together:
            self.elsewhere.append(job)
            return
        if taken:
            self.elsewhere.append(job.only(taken))
            job = job.only([seed for seed in job.assignment.seeds if seed not in taken])
        if job.fingerprints:
            self._start(job)

    def _taken(self, job: Job) -> list[int]:
        """The seeds that some process trains now."""
        return [seed for seed, name in job.runs if self.store.is_claimed(name)]

    def _start(self, job: Job) -> None:
        self.count += 1
        slot = self.free.pop(0)
        job = replace(job, number=self.count, assignment=replace(job.assignment, device=slot))
        deadline = time.monotonic() + job.timeout + OVERTIME if job.timeout else float("inf")
        self.running[job.number] = Running(job, slot, deadline)
        self.executor.submit(job)

    # what has happened

    def _hear(self) -> Iterator[Event]:
        """Wait for events and handle them."""
        if not self.running:
            if self.elsewhere:
                time.sleep(POLL)
            return
        wait = self._overdue()
        if self.elsewhere and self.free:
            wait = min(wait, POLL)
        events = self.executor.poll(None if wait == float("inf") else wait)
        if events is None:
            events = [ProcessExited(job=number, code=-signal.SIGKILL) for number in self.running]
        for event in events:
            yield from self._take(event)

    def _overdue(self) -> float:
        """Kill jobs that are past their deadline. Returns the seconds until the next deadline."""
        now, nearest = time.monotonic(), float("inf")
        for running in self.running.values():
            if running.fate == "timeout":
                continue
            if now >= running.deadline:
                running.fate = "timeout"
                self.executor.cancel(running.job.number)
            else:
                nearest = min(nearest, running.deadline - now)
        return nearest

    def _take(self, event: Event) -> Iterator[Event]:
        if isinstance(event, StoreFailed):
            raise DiskError(event.number, event.reason, event.path)
        if (running := self.running.get(event.job)) is None:
            return
        match event:
            case ProcessExited(code=code):
                del self.running[event.job]
                self.free.append(running.slot)
                yield from self._after(running, code)
            case JobBusy():
                running.fate = "busy"
            case RunEnded(status="interrupted", reason=""):
                running.fate = "asked"  # by somebody else: if this command wants an end, it closes and polls no more
            case RunEnded(seed=seed):
                running.ended.add(seed)
                yield event
            case StackFailed():
                running.fate = "split"
                yield event
            case _:
                yield event

    def _after(self, running: Running, code: int) -> Iterator[Event]:
        """Handle a job whose process has ended."""
        job = running.job.only(running.left()) if not running.job.together else running.job
        if not running.left():
            return
        if running.fate == "busy":
            self._again([job], self.elsewhere)
        elif running.fate == "split":
            self._again(self._one_by_one(running.job.only(running.left())), self.waiting)
        else:
            yield from self._died(running, -signal.SIGTERM if running.fate == "asked" else code)

    def _again(self, jobs: list[Job], where: list[Job] | deque[Job]) -> None:
        if not self.stopped:
            where.extend(jobs) if isinstance(where, list) else where.extendleft(reversed(jobs))

    def _one_by_one(self, job: Job) -> list[Job]:
        return [replace(job.only([seed]), together=False) for seed in job.assignment.seeds]

    def _died(self, running: Running, code: int) -> Iterator[Event]:
        """A process ended before some of its runs did: retry them, or record that they failed."""
        job, left = running.job, running.left()
        if running.fate == "timeout":
            reason = f"not finished after {job.timeout:g} s, and did not respond to signals"
            yield from self._write_off(job, left, "timeout", reason)
            return
        reason = death(code)
        retried = JobRetried(job=job.number, variant=job.variant, seeds=tuple(left), reason=reason, one_by_one=False)
        key = job.fingerprints[0]
        self.deaths[key] = self.deaths.get(key, 0) + 1
        if code < 0 and self.deaths[key] <= self.retries:
            yield retried
            self._again([replace(job, together=len(job.fingerprints) > 1)], self.waiting)
        elif len(left) > 1:
            yield replace(retried, one_by_one=True)
            checkpoints.drop(self.store, job.fingerprints[0])
            self._again(self._one_by_one(job.only(left)), self.waiting)
        else:
            yield from self._write_off(job, left, "failed", reason)

    def _write_off(self, job: Job, seeds: list[int], status: Status, reason: str) -> Iterator[Event]:
        """Write the last status of runs whose process died, unless another process has claimed them by now."""
        for seed in seeds:
            one = job.only([seed])
            with self.store.claim(one.fingerprints) as ours:
                if not ours:
                    self._again([replace(one, together=False)], self.elsewhere)
                    continue
                record = self.store.record(one.fingerprints[0], seed)
                if job.settles(record):
                    yield self._ended(job, seed, record)
                    continue
                epochs, fold = job.assignment.settings.epochs, job.assignment.fold
                ended = replace(record, seed=seed, fold=fold, epochs=epochs, finished=time.time())
                lost = replace(ended, status=status, reason=reason)
                self.store.write_status(lost, durable=True)
            yield self._ended(job, seed, lost)

    def _ended(self, job: Job, seed: int, record: RunRecord, *, elsewhere: bool = False) -> RunEnded:
        where = job.run_of(job.assignment.seeds.index(seed))
        epoch = None if elsewhere else record.epoch
        return RunEnded(**where, status=record.status, reason=record.reason, epoch=epoch, elsewhere=elsewhere)


def death(code: int) -> str:
    """How a process ended that left runs behind, from its exit code."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    hint = ", possibly because the machine ran out of memory" if code == -signal.SIGKILL else ""
    return f"its process ended with {how}{hint}"
