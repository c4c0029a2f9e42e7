"""Runs jobs on an executor: as many at once as there are slots, each in a process of its own.

Runs that another command trains are left to it: their jobs take no slot, and come back when that command releases them.
A job whose process dies is retried from its checkpoint; the seeds of a stack that fails are trained one by one. A job
that a dying server or node took along starts again as it was, and the death does not count as its own.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from ablate.execution.deaths import death, given_up, how
from ablate.execution.events import (
    EpochEnded,
    Event,
    JobBusy,
    JobRetried,
    NotStarted,
    ProcessExited,
    RunEnded,
    RunStarted,
    StackFailed,
    StoreFailed,
    WaitingForOthers,
)
from ablate.execution.executors.executor import Executor, ExecutorError
from ablate.execution.jobs import Job, in_order, lacking, written_off
from ablate.machine import is_alive, this_machine
from ablate.store import checkpoints
from ablate.store.disk import DiskError
from ablate.store.places import at_of
from ablate.store.records import RunRecord, Status
from ablate.store.store import Store

POLL = 0.25
"""Seconds between two checks of runs that another command trains."""

OVERTIME = 10.0
"""Seconds that a job has to end by itself after its timeout, before it is killed."""

FOLLOW = 1.0
"""Seconds between two looks at the progress of runs that another command trains."""


@dataclass
class Running:
    """A running job: its slots, its deadline and when it was submitted (monotonic seconds), the seeds that have ended.

    ``fate`` decides what happens when its process exits, ``reason`` says why; ``started``: whether its training began.
    """

    job: Job
    slots: list[str]
    deadline: float
    submitted: float
    ended: set[int] = field(default_factory=set)
    fate: str = ""
    reason: str = ""
    started: bool = False

    def left(self) -> list[int]:
        """The seeds that have not ended."""
        return [seed for seed in self.job.assignment.seeds if seed not in self.ended]


class Scheduler:
    """Runs jobs in slots. A slot is a CPU core (device ``cpu``) or a GPU (``cuda:0`` …).

    ``retries``: how often a job is retried whose process was killed by a signal. ``by_core``: a job takes as many slots
    as it has threads. If it has waited for them for longer than its threads save, it begins with the free ones.
    """

    def __init__(
        self,
        slots: Sequence[str],
        store: Store,
        *,
        retries: int = 1,
        executor: Executor | None = None,
        by_core: bool = False,
    ) -> None:
        if executor is None:
            from ablate.execution.executors.local import LocalExecutor

            executor = LocalExecutor()
        self.executor, self.store, self.retries = executor, store, retries
        self.free, self.count_of_slots, self.by_core = list(slots), len(slots), by_core
        self.waiting: deque[Job] = deque()
        self.elsewhere: list[Job] = []
        self.running: dict[int, Running] = {}
        self.deaths: dict[str, int] = {}
        self.losses = 0
        self.furthest: dict[str, int] = {}
        self.count = 0
        self.looked = self.followed = 0.0
        self.said_waiting = False
        self.ordered = False
        self.stopped = False
        self.pace = 0.0
        self.idle_since = float("inf")

    def run(self, jobs: Sequence[Job], *, fail_fast: bool = False) -> Iterator[Event]:
        """Run all jobs; yields events as they come. Closing the iterator ends all jobs.

        Raises `DiskError` if the store cannot be written, and `ExecutorError` if jobs cannot be run.
        """
        self.waiting.extend(jobs)
        self.ordered = any(job.needed() for job in jobs)
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

    def detach(self, jobs: Sequence[Job]) -> tuple[int, int]:
        """Submit all jobs to a cluster and do not wait for them. Returns how many it has taken, and how many not.

        Those whose runs another command trains are left out. Raises `ExecutorError` if jobs cannot be submitted.
        """
        ready: list[Job] = []
        for job in in_order(jobs):
            seeds = [seed for seed, name in job.runs if not self.store.is_claimed(name)]
            if seeds and (len(seeds) == len(job.runs) or not job.together):
                self.count += 1
                given = replace(job.assignment, device=self.free[0])
                ready.append(replace(job, number=self.count, assignment=given).only(seeds))
        try:
            taken = self.executor.submit_all(ready)
        finally:
            self.close()
        return taken, len(ready) - taken

    def close(self) -> None:
        """End all running jobs; returns when they are gone. Jobs on a cluster go on."""
        self.executor.close()

    # what to do next

    def _begin(self) -> Iterator[Event]:
        """Fill the free slots, and check the runs that were left to other processes."""
        if self.elsewhere and time.monotonic() - self.looked >= POLL:
            self.looked = time.monotonic()
            yield from self._follow()
            jobs, self.elsewhere = self.elsewhere, []
            for job in jobs:
                whole = self._taken(job) == list(job.assignment.seeds)
                (self.elsewhere if whole else self.waiting).append(job)
        while self.free and (ready := self._next()) is not None:
            yield from self._open(ready)
        if not (self.free and self.waiting):
            self.idle_since = float("inf")
        if self.elsewhere and not self.running and not self.said_waiting:
            self.said_waiting = True
            yield WaitingForOthers(runs=sum(len(job.fingerprints) for job in self.elsewhere))

    def _follow(self) -> Iterator[Event]:
        """The progress of the runs that another command trains. Gives up the claims of queued jobs that never begin."""
        if self.looked - self.followed < FOLLOW:
            return
        self.followed = self.looked
        queued: dict[str, list[str]] = {}
        for job in self.elsewhere:
            for seed, name in job.runs:
                record = self.store.record(name)
                if record.status == "running" and record.epoch > self.furthest.get(name, 0):
                    self.furthest[name] = record.epoch
                    yield epoch_of(job, seed, record, self.store.last_epoch(name))
                elif record.status != "running" and (job_name := self._left_in_queue(name)):
                    queued.setdefault(job_name, []).append(name)
        if queued:
            for gone in queued.keys() - self.executor.waiting(queued):
                for name in queued[gone]:
                    self.store.release(name, gone)

    def _left_in_queue(self, name: str) -> str:
        """The queued job of this user that has claimed a run, if its command is not seen to be running. Those of others
        may be hidden from this user.
        """
        owner = self.store.owner(name)
        if owner is None or not owner.queued or owner.user != os.getuid():
            return ""
        return "" if owner.machine == this_machine() and is_alive(owner.pid, owner.born) else owner.job

    def _next(self) -> Job | None:
        """Take the first waiting job whose sources have all ended and that fits in the free slots."""
        unsettled = self._unsettled()
        for i, job in enumerate(self.waiting):
            if not unsettled.isdisjoint(job.needed()):
                continue
            if (fitting := self._fitting(job)) is not None:
                del self.waiting[i]
                return fitting
        return None

    def _fitting(self, job: Job) -> Job | None:
        """The job as it can begin now, with fewer threads if it has waited for too long; None if it has to wait."""
        if self._width(job) <= len(self.free):
            self.idle_since = float("inf")
            return job
        self.idle_since = min(self.idle_since, time.monotonic())
        if job.bound or time.monotonic() < self._patience(job):
            return None
        return replace(job, threads=len(self.free))

    def _width(self, job: Job) -> int:
        """The number of slots that a job takes."""
        return min(job.threads, self.count_of_slots) if self.by_core else 1

    def _patience(self, job: Job) -> float:
        """Until when a job waits for more slots (monotonic seconds): for as long as its threads save, which is known
        once another job has ended.
        """
        return self.idle_since + job.gain * job.cost * self.pace if self.pace else float("inf")

    def _unsettled(self) -> set[str]:
        """The runs that have not ended; empty if no job is to wait for others."""
        if not self.ordered:
            return set()
        under_way = (running.job.only(running.left()) for running in self.running.values())
        return {name for job in chain(self.waiting, self.elsewhere, under_way) for name in job.fingerprints}

    def _open(self, job: Job) -> Iterator[Event]:
        """Start what is left of a job; leave the rest to the processes that train it."""
        records = {seed: self.store.record(name) for seed, name in job.runs}
        done = [seed for seed, record in records.items() if job.settles(record)]
        if done and (len(done) == len(records) or not job.together):
            for seed in done:
                yield self._ended(job, seed, records[seed], elsewhere=True)
            job = job.only([seed for seed in records if seed not in done])
        if not job.together and (missing := lacking(job, self.store)):
            for seed, (status, reason) in missing.items():
                yield from self._write_off(job, [seed], status, reason)
            job = job.only([seed for seed in job.assignment.seeds if seed not in missing])
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
        slots = [self.free.pop(0) for _ in range(self._width(job))]
        job = replace(job, number=self.count, assignment=replace(job.assignment, device=slots[0]))
        if self.store.disk.observed:
            job = replace(job, observed=self.store.observed(job.fingerprints))
        self.running[job.number] = Running(job, slots, float("inf"), time.monotonic())
        self.executor.submit(job)

    # what has happened

    def _hear(self) -> Iterator[Event]:
        """Wait for events and handle them."""
        if not self.running:
            if self.elsewhere:
                time.sleep(POLL)
            return
        wait = self._overdue()
        if self.idle_since < float("inf"):
            wait = min(wait, POLL)
        if self.elsewhere:
            wait = min(wait, POLL if self.free else FOLLOW)
        events = self.executor.poll(None if wait == float("inf") else wait)
        for event in events:
            yield from self._take(event)
        if lost := [event for event in events if isinstance(event, ProcessExited) and event.infrastructure]:
            self.losses += 1
            if self.losses == self.executor.losses:
                raise ExecutorError(given_up(lost[-1], self.losses))

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
        self._note_progress(running, event)
        match event:
            case ProcessExited():
                del self.running[event.job]
                self.free += running.slots
                self._note_pace(running)
                yield from self._after(running, event)
            case NotStarted(reason=reason):
                del self.running[event.job]  # its slots stay taken: fewer jobs run at once from now on
                self.count_of_slots -= len(running.slots)
                if not self.running:
                    raise ExecutorError(f"No process can be started for a job: {reason}. Rerun the command later.")
                self._again([running.job], self.waiting)
            case JobBusy():
                running.fate = "busy"
            case RunEnded(status="interrupted", reason=""):
                running.fate = "asked"  # by somebody else: if this command wants an end, it closes and polls no more
            case RunEnded(seed=seed):
                running.ended.add(seed)
                yield event
            case StackFailed(reason=reason):
                running.fate, running.reason = "split", reason
                yield event
            case _:
                yield event

    def _note_progress(self, running: Running, event: Event) -> None:
        """A job that comes further than before shows that jobs can be run."""
        running.started |= isinstance(event, RunStarted)
        if running.job.timeout and running.deadline == float("inf"):
            # on a cluster, it may have been queued for days before its first event
            running.deadline = time.monotonic() + running.job.timeout + OVERTIME
        if isinstance(event, EpochEnded | RunEnded):
            name = dict(running.job.runs)[event.seed]
            settled = isinstance(event, RunEnded) and event.status != "interrupted"
            if settled or (event.epoch or 0) > self.furthest.get(name, 0):
                self.furthest[name] = event.epoch or 0
                self.losses = 0

    def _note_pace(self, running: Running) -> None:
        """The time of a job that has ended, in seconds per unit of cost, with one thread."""
        if not running.left():
            seconds = time.monotonic() - running.submitted
            self.pace = max(self.pace, seconds / (running.job.cost * (1 - running.job.gain)))

    def _after(self, running: Running, exited: ProcessExited) -> Iterator[Event]:
        """Handle a job whose process has ended."""
        job = running.job.only(running.left()) if not running.job.together else running.job
        if not running.left():
            return
        if running.fate == "busy":
            self._again([job], self.elsewhere)
        elif running.fate == "split":
            self._again(self._one_by_one(running.job.only(running.left()), running.reason), self.waiting)
        elif exited.infrastructure and running.fate != "timeout":
            yield from self._retry(running, exited.reason or f"the server that runs it ended with {how(exited.code)}")
        elif running.fate == "asked":
            yield from self._died(running, replace(exited, code=-signal.SIGTERM))
        else:
            yield from self._died(running, exited)

    def _again(self, jobs: list[Job], where: list[Job] | deque[Job]) -> None:
        if not self.stopped:
            where.extend(jobs) if isinstance(where, list) else where.extendleft(reversed(jobs))

    def _one_by_one(self, job: Job, reason: str) -> list[Job]:
        return [replace(job.only([seed]), together=False, split=reason) for seed in job.assignment.seeds]

    def _retry(self, running: Running, reason: str) -> Iterator[Event]:
        """Start a job again as it was, to go on from its checkpoint."""
        job = running.job
        seeds = tuple(running.left())
        yield JobRetried(job=job.number, variant=job.variant, seeds=seeds, reason=reason, one_by_one=False)
        self._again([replace(job, together=len(job.fingerprints) > 1)], self.waiting)

    def _died(self, running: Running, exited: ProcessExited) -> Iterator[Event]:
        """A process ended before some of its runs did: retry them, or record that they failed."""
        job, left = running.job, running.left()
        if running.fate == "timeout":
            reason = f"not finished after {job.timeout:g} s, and did not respond to signals"
            yield from self._write_off(job, left, "timeout", reason)
            return
        reason = exited.reason or death(exited.code)
        key = job.fingerprints[0]
        self.deaths[key] = self.deaths.get(key, 0) + 1
        if exited.code < 0 and self.deaths[key] <= self.retries and not exited.out_of_memory:
            yield from self._retry(running, reason)
        elif len(left) > 1:
            yield JobRetried(job=job.number, variant=job.variant, seeds=tuple(left), reason=reason, one_by_one=True)
            with self.store.claim(job.fingerprints) as ours:
                if ours:  # otherwise another process goes on from it
                    checkpoints.drop(self.store, key)
            self._again(self._one_by_one(job.only(left), reason), self.waiting)
        elif exited.out_of_memory:
            yield from self._write_off(job, left, "out_of_memory", reason)
        else:
            yield from self._write_off(job, left, "failed" if running.started else "interrupted", reason)

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
                lost = written_off(one, self.store, seed, status, reason)
            yield self._ended(job, seed, lost)

    def _ended(self, job: Job, seed: int, record: RunRecord, *, elsewhere: bool = False) -> RunEnded:
        where = job.run_of(job.assignment.seeds.index(seed))
        epoch, at = (None, None) if elsewhere else (record.epoch, at_of(record))
        return RunEnded(**where, status=record.status, reason=record.reason, epoch=epoch, at=at, elsewhere=elsewhere)


def epoch_of(job: Job, seed: int, record: RunRecord, line: Mapping[str, Any]) -> EpochEnded:
    """The progress of a run from what the store has of it."""
    return EpochEnded(
        **job.run_of(job.assignment.seeds.index(seed)),
        epoch=record.epoch,
        epochs=record.epochs,
        at=at_of(record),
        train_loss=line.get("train_loss"),
        valid_loss=line.get("valid_loss"),
        seconds=line.get("seconds"),
    )
