"""Carries out jobs on this machine: as many at once as there are slots, each in a process of its own.

Runs that another command trains are left to it: their jobs take no slot, and come back when the other process lets go. A job whose process dies is tried
again from its checkpoint; a stack that fails is tried seed by seed.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Protocol

from ablate.execution.jobs import Event, Job
from ablate.store import checkpoints
from ablate.store.disk import DiskError
from ablate.store.records import ENDED_BADLY, Status
from ablate.store.store import Store

UNDER_WAY = ("started", "epoch", "note")
"""Events that do not end a run."""

POLL = 0.25
"""Seconds between two looks at runs that another command trains."""

OVERTIME = 10.0
"""Seconds that a job has to end by itself after its timeout."""


class Processes(Protocol):
    """Where processes come from."""

    def start(self, job: Job) -> None:
        """Begin a job in a process of its own."""

    def kill(self, number: int) -> None:
        """End a job's process without asking."""

    def events(self, wait: float | None) -> list[Event] | None:
        """What jobs have said, ``exit`` of their processes among it; after ``wait`` seconds at the latest. None: all of them have ended at once."""

    def close(self) -> None:
        """End all processes; returns when they are gone."""


@dataclass
class Running:
    """A job under way: its slot, when it must have ended (monotonic seconds), which seeds have ended, and what becomes of it after its process."""

    job: Job
    slot: str
    deadline: float
    ended: set[int] = field(default_factory=set)
    fate: str = ""

    def left(self) -> list[int]:
        """The seeds that have not ended."""
        return [seed for seed in self.job.assignment.seeds if seed not in self.ended]


class LocalExecutor:
    """Runs jobs in slots. A slot is a CPU core (device ``cpu``) or a GPU (``cuda:0`` …). ``retries``: for jobs whose process was killed by a signal."""

    def __init__(
        self, slots: Sequence[str], store: Store, *, retries: int = 1, processes: Processes | None = None
    ) -> None:
        if processes is None:
            from ablate.execution.executors.local import ForkedProcesses

            processes = ForkedProcesses()
        self.processes, self.store, self.retries = processes, store, retries
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
        """Run all jobs; yields events as they come: ``started``, ``epoch``, ``finished``, ``failed`` …, each with ``variant`` and ``seed``.

        A ``note`` has a ``text`` only.

        Raises `DiskError` where the store cannot be written. Closing the iterator ends all jobs.
        """
        self.waiting.extend(jobs)
        try:
            while self.waiting or self.elsewhere or self.running:
                for event in chain(self._begin(), self._hear()):
                    if fail_fast and event["event"] in ENDED_BADLY:
                        self.stopped = True
                        self.waiting.clear()
                        self.elsewhere.clear()
                    yield event
        finally:
            self.close()

    def close(self) -> None:
        """End what still runs; returns when all of it is gone."""
        self.processes.close()

    # what to do next

    def _begin(self) -> Iterator[Event]:
        """Fill the free slots, and look after runs that were left to other processes."""
        if self.elsewhere and time.monotonic() - self.looked >= POLL:
            self.looked = time.monotonic()
            jobs, self.elsewhere = self.elsewhere, []
            for job in jobs:
                if self._taken(job) == list(job.assignment.seeds):
                    self.elsewhere.append(job)
                else:
                    self.waiting.append(job)
        while self.free and (ready := self._next()) is not None:
            yield from self._open(ready)
        if self.elsewhere and not self.running and not self.said_waiting:
            self.said_waiting = True
            count = sum(len(job.fingerprints) for job in self.elsewhere)
            what = "1 run that another process is" if count == 1 else f"{count} runs that other processes are"
            yield {"event": "note", "text": f"waiting for {what} training"}

    def _next(self) -> Job | None:
        """The first waiting job that nothing under way or still to come is needed for; it no longer waits."""
        unsettled = self._unsettled()
        for i, job in enumerate(self.waiting):
            if unsettled.isdisjoint(job.needed()):
                del self.waiting[i]
                return job
        return None

    def _unsettled(self) -> set[str]:
        """Runs of jobs that have not ended, where any job waits for others."""
        if not any(job.needed() for job in self.waiting):
            return set()
        under_way = (running.job.only(running.left()) for running in self.running.values())
        return {name for job in chain(self.waiting, self.elsewhere, under_way) for name in job.fingerprints}

    def _lacking(self, job: Job) -> dict[int, str]:
        """The seeds of a job whose sources have ended without weights, each with the reason."""
        found: dict[int, str] = {}
        for seed in job.assignment.seeds:
            for row, name in job.needs.get(seed, {}).items():
                record = self.store.record(name)
                if record.status != "finished":
                    found[seed] = f"it is built upon {row}, seed {seed}, which is {record.status.replace('_', ' ')}"
        return found

    def _open(self, job: Job) -> Iterator[Event]:
        """Start what is left of a job, and leave to others what they train."""
        records = {seed: self.store.record(name) for seed, name in job.runs}
        done = [seed for seed, record in records.items() if job.settles(record)]
        if done and (len(done) == len(records) or not job.together):
            for seed in done:
                record = records[seed]
                yield self._event(job, seed, record.status, reason=record.reason, elsewhere=True)
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
        """The seeds that a process trains now."""
        return [seed for seed, name in job.runs if self.store.is_claimed(name)]

    def _start(self, job: Job) -> None:
        self.count += 1
        slot = self.free.pop(0)
        job = replace(job, number=self.count, assignment=replace(job.assignment, device=slot))
        deadline = time.monotonic() + job.timeout + OVERTIME if job.timeout else float("inf")
        self.running[job.number] = Running(job, slot, deadline)
        self.processes.start(job)

    # what has happened

    def _hear(self) -> Iterator[Event]:
        """Wait for events and see to them."""
        if not self.running:
            if self.elsewhere:
                time.sleep(POLL)
            return
        wait = self._overdue()
        if self.elsewhere and self.free:
            wait = min(wait, POLL)
        events = self.processes.events(None if wait == float("inf") else wait)
        if events is None:
            events = [{"event": "exit", "job": number, "code": -9} for number in self.running]
        for event in events:
            yield from self._take(event)

    def _overdue(self) -> float:
        """Kill jobs that outlived their timeout. Returns seconds until the next one does."""
        now, nearest = time.monotonic(), float("inf")
        for running in self.running.values():
            if running.fate == "timeout":
                continue
            if now >= running.deadline:
                running.fate = "timeout"
                self.processes.kill(running.job.number)
            else:
                nearest = min(nearest, running.deadline - now)
        return nearest

    def _take(self, event: Event) -> Iterator[Event]:
        if event["event"] == "halt":
            raise DiskError(event["number"], event["text"], event["path"])
        if event["event"] == "ready" or event["job"] not in self.running:
            return
        running = self.running[event["job"]]
        if event["event"] == "exit":
            del self.running[event["job"]]
            self.free.append(running.slot)
            yield from self._after(running, event["code"])
        elif event["event"] == "busy":
            running.fate = "busy"
        elif event["event"] == "split":
            running.fate = "split"
            text = f"{running.job.variant}: its stack failed ({event['reason']}); its seeds are tried one by one"
            yield {"event": "note", "text": text}
        elif event["event"] == "interrupted" and not event.get("reason"):
            running.fate = "asked"  # by somebody else: we close, and hear no more, when we want an end
        else:
            if event["event"] not in UNDER_WAY:
                running.ended.add(event["seed"])
            yield event

    def _after(self, running: Running, code: int) -> Iterator[Event]:
        """See to a job whose process has ended."""
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
        """A process ended without a word on some of its runs: try again, or say that they failed."""
        job, left = running.job, running.left()
        reason = f"its process ended with signal {-code}" if code < 0 else f"its process ended with code {code}"
        if code == -9:
            reason += ", as it does when the machine runs out of memory"
        if running.fate == "timeout":
            yield from self._write_off(job, left, "timeout", f"not done after {job.timeout:g} s, and deaf to signals")
            return
        key = job.fingerprints[0]
        self.deaths[key] = self.deaths.get(key, 0) + 1
        if code < 0 and self.deaths[key] <= self.retries:
            yield {"event": "note", "text": f"{job.variant} seeds {seeds_of(left)}: {reason}; tried again"}
            self._again([replace(job, together=len(job.fingerprints) > 1)], self.waiting)
        elif len(left) > 1:
            yield {"event": "note", "text": f"{job.variant} seeds {seeds_of(left)}: {reason}; tried one by one"}
            checkpoints.drop(self.store, job.fingerprints[0])
            self._again(self._one_by_one(job.only(left)), self.waiting)
        else:
            yield from self._write_off(job, left, "failed", reason)

    def _write_off(self, job: Job, seeds: list[int], status: Status, reason: str) -> Iterator[Event]:
        """Write the last status of runs whose process cannot do it any more. Another process may have them by now: then they are left to it."""
        for seed in seeds:
            one = job.only([seed])
            with self.store.claim(one.fingerprints) as ours:
                if not ours:
                    self._again([replace(one, together=False)], self.elsewhere)
                    continue
                record = self.store.record(one.fingerprints[0], seed)
                if job.settles(record):
                    yield self._event(job, seed, record.status, reason=record.reason)
                    continue
                known = {
                    "status": status,
                    "reason": reason,
                    "seed": seed,
                    "fold": job.assignment.fold,
                    "epoch": record.epoch,
                    "epochs": job.assignment.settings.epochs,
                    "started": record.started,
                    "finished": time.time(),
                    "seconds": record.seconds,
                    "device_seconds": record.device_seconds,
                    "stack": list(record.stack),
                    "threads": record.threads,
                }
                self.store.write_status(one.fingerprints[0], known, durable=True)
            yield self._event(job, seed, status, epoch=record.epoch, reason=reason)

    def _event(self, job: Job, seed: int, event: str, **fields: Any) -> Event:
        fold = {} if job.assignment.fold is None else {"fold": job.assignment.fold}
        return {"event": event, "job": job.number, "variant": job.variant, "seed": seed, **fold, **fields}


def seeds_of(seeds: Sequence[int]) -> str:
    """Seeds in a sentence."""
    return ", ".join(map(str, seeds))
