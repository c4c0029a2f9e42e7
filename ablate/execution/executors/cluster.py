"""The executor for clusters, over what a queue system offers (`Cluster`).

A job of the cluster runs one or several jobs in turn (`executors.remote`), which append their events to a file in the
folder of runs. Before it is submitted, its runs are claimed under its name, so that no other command submits them.
What the store has decides whether a run finished; the state of the cluster's job only says why it did not.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from ablate.execution.events import Event, ExecutorReady, JobBusy, ProcessExited, ProcessStarted, decode
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.executors.remote import EVENTS, OUTPUT, encoded
from ablate.execution.jobs import Job
from ablate.store.disk import DiskError
from ablate.store.store import Store

GRACE = 60.0
"""Seconds that a job has to reach the end of an epoch when the cluster takes its node."""

READ_EVERY = 0.5
"""Seconds between two looks at the files with events."""

AGAIN = 2
"""In how many looks in a row a job must be missing, before it counts as gone."""

REFUSED_FOR = 30.0
"""Seconds until a job is submitted again for which there was no room."""

REFUSALS = 20
"""After how many refusals in a row, with no job submitted, the command ends."""

Fate = Literal["queued", "running", "done", "failed", "cancelled", "out_of_memory", "lost"]
"""The state of a cluster's job; ``lost``: with its node, by preemption or at its time limit."""


@dataclass(frozen=True)
class State:
    """The state of a cluster's job, with the cluster's own word for it."""

    fate: Fate
    word: str = ""


class Cluster(Protocol):
    """A queue system. Jobs are known by names that the executor chooses."""

    title: str
    lasting: bool
    """Whether jobs go on when the command ends."""

    def submit(self, name: str, command: Sequence[str], jobs: bytes, output: Path, after: Collection[str]) -> None:
        """Queue a command with ``jobs`` on its standard input, to begin when the jobs ``after`` have ended.

        Raises `Refused` if there is no room for another job, and ExecutorError if jobs cannot be queued at all.
        """

    def states(self, names: Collection[str]) -> Mapping[str, State] | None:
        """The states of these jobs, without those that it no longer knows; None if it does not answer."""

    def cancel(self, names: Collection[str]) -> None:
        """End jobs, whether they have begun or not."""

    def close(self) -> None:
        """The command ends; jobs go on where they can, or else have ended when this returns."""


class Refused(Exception):
    """A cluster takes no further job now."""


@dataclass
class Submitted:
    """A job of the cluster: the jobs in it that have not ended, by number, and how far its events have been read.
    ``asked``: the ends of those that ended because the cluster asked them to; its state says why.
    """

    name: str
    left: dict[int, Job]
    read: int = 0
    ready: bool = False
    started: set[int] = field(default_factory=set)
    asked: list[ProcessExited] = field(default_factory=list)
    missing: int = 0


class ClusterExecutor:
    """Runs jobs on a cluster. ``per_job``: how many share a job of the cluster; ``every``: seconds between two looks at
    the states of jobs. ``label`` begins the names of jobs.
    """

    losses = 10

    def __init__(self, cluster: Cluster, store: Store, label: str, *, per_job: int = 1, every: float = 5.0) -> None:
        self.cluster, self.store, self.label, self.per_job, self.every = cluster, store, label, per_job, every
        self.title = cluster.title if cluster.lasting else ""
        self._prefix = f"ablate-{cluster.title.lower()}-"
        self._buffer: list[Job] = []
        self._submitted: dict[str, Submitted] = {}
        self._looked = 0.0
        self._events: list[Event] = []
        self._dropped: set[str] = set()
        self._gone: dict[str, int] = {}
        self._later, self._refused = 0.0, 0

    def submit(self, job: Job) -> None:
        """Queue a job; `poll` submits it, together with others."""
        self._buffer.append(job)

    def cancel(self, number: int) -> None:
        """End the cluster's job that runs a job."""
        self.cluster.cancel([one.name for one in self._submitted.values() if number in one.left])

    def poll(self, wait: float | None) -> list[Event]:
        """The events since the last call, after ``wait`` seconds at most."""
        until = None if wait is None else time.monotonic() + wait
        while True:
            began = time.monotonic()
            self._flush()
            events, self._events = self._events, []
            events += [event for one in list(self._submitted.values()) for event in self._news(one)]
            if time.monotonic() - self._looked >= self.every:
                self._looked = time.monotonic()
                events += self._look()
            if events or (until is not None and time.monotonic() >= until):
                return events
            pause = max(READ_EVERY, time.monotonic() - began)  # at most half of the time goes into looking
            time.sleep(pause if until is None else min(pause, max(until - time.monotonic(), 0.0)))

    def waiting(self, names: Collection[str]) -> set[str]:
        """Which of these queued jobs, also of other commands, may still begin."""
        if not self.cluster.lasting:
            return set(names)  # they are queued on a cluster whose jobs last
        states = self.cluster.states(names)
        if states is None:
            return set(names)
        for name in names:
            begins = name in states and states[name].fate in ("queued", "running")
            self._gone[name] = 0 if begins else self._gone.get(name, 0) + 1
        return {name for name in names if self._gone[name] < AGAIN}

    def close(self) -> None:
        """Leave the jobs to the cluster, or end them. Files of jobs that have ended are removed, also of commands that
        were killed: what the store has of their runs is all that another command needs.
        """
        names = {name for name in self.store.disk.names(self.store.job_folder("")) if self._is_old(name)}
        if self._dropped and self.cluster.lasting:
            self._look()
        if names and (states := self.cluster.states(names)) is not None:
            left = {name for name, state in states.items() if state.fate in ("queued", "running")}
            for name in names:
                if name not in left or self._is_done(name):
                    self._drop(name)
        self.cluster.close()

    def _is_old(self, name: str) -> bool:
        """Whether a job of this user on this cluster was submitted by another command."""
        if not name.startswith(self._prefix) or name in self._submitted:
            return False
        status = self.store.disk.status(self.store.job_folder(name))
        return status is not None and status.st_uid == os.getuid()

    def _is_done(self, name: str) -> bool:
        """Whether all processes of a job of the cluster have ended."""
        events = self.store.disk.read(self.store.job_folder(name) / EVENTS) or b""
        kinds = [type(event) for event in events_in(events)]
        return 0 < kinds.count(ProcessStarted) == kinds.count(ProcessExited)

    def submit_all(self, jobs: Sequence[Job]) -> int:
        """Submit jobs, each after those that train its sources; how many the cluster has taken."""
        self._buffer += jobs
        self._flush()
        return len(jobs) - len(self._buffer)

    def _flush(self) -> None:
        """Submit the queued jobs. Those for which there is no room are submitted later."""
        if not self._buffer or time.monotonic() < self._later:
            return
        jobs, self._buffer = self._buffer, []
        for start in range(0, len(jobs), self.per_job):
            try:
                self._submit(jobs[start : start + self.per_job])
                self._refused = 0
            except Refused as refused:
                self._buffer, self._later = jobs[start:], time.monotonic() + REFUSED_FOR
                self._refused += not self._submitted
                if self._refused == REFUSALS:
                    raise ExecutorError(
                        f"{self.cluster.title} accepts no jobs: {refused}. Rerun the command later."
                    ) from None
                return

    def _submit(self, jobs: list[Job]) -> None:
        """Submit a job of the cluster. Raises `Refused`."""
        name = self._new_name(jobs[0])
        ours: dict[int, Job] = {}
        for job in jobs:
            before = {owner.job for run in job.fingerprints if (owner := self.store.owner(run)) and owner.job}
            if self.store.queue(job.fingerprints, name):
                ours[job.number] = replace(job, name=name, observed={})
                if before:  # a job that was lost, maybe of a command that was killed: the cluster may queue it again
                    self.cluster.cancel(before)
                    self._dropped |= before
            else:
                self._events += [JobBusy(job=job.number), ProcessExited(job=job.number, code=0)]
        if self.cluster.lasting:
            ours = {number: replace(job, grace=GRACE) for number, job in ours.items()}
        else:
            self._release(name, ours)  # a job that ends with the command claims its runs when it begins
        if not ours:
            return
        folder = self.store.job_folder(name)
        self.store.disk.replace(folder / EVENTS, b"")
        command = [sys.executable, "-P", "-m", "ablate.execution.executors.remote", str(self.store.root), name]
        sources = {self.store.owner(source) for job in jobs for source in job.needed()}
        after = {owner.job for owner in sources if owner is not None and owner.job} - {name}
        try:
            self.cluster.submit(name, command, encoded(list(ours.values())), folder / OUTPUT, after)
        except BaseException:
            self._give_back(name, ours)
            raise
        self._submitted[name] = Submitted(name, ours)

    def _new_name(self, job: Job) -> str:
        words = re.sub(r"[^A-Za-z0-9_.]+", "-", f"{self.label}-{job.variant}")[:40]
        return f"{self._prefix}{words}-{secrets.token_hex(4)}"

    def _release(self, name: str, jobs: Mapping[int, Job]) -> None:
        for job in jobs.values():
            for run in job.fingerprints:
                self.store.release(run, name)

    def _give_back(self, name: str, jobs: Mapping[int, Job]) -> None:
        self._release(name, jobs)
        self.store.disk.remove(self.store.job_folder(name))

    # what has happened

    def _news(self, one: Submitted) -> list[Event]:
        """The events that a job of the cluster has written since the last look."""
        file = self.store.disk.open(self.store.job_folder(one.name) / EVENTS)
        if file is None:
            return []
        with file:
            file.seek(one.read)
            text = file.read()
        end = text.rfind(b"\n") + 1
        one.read += end
        found: list[Event] = []
        for event in events_in(text[:end]):
            match event:
                case ExecutorReady():
                    one.ready = True
                    continue
                case ProcessStarted(job=number):
                    one.started.add(number)
                case ProcessExited(infrastructure=True):
                    one.asked.append(event)
                    continue
                case ProcessExited(job=number):
                    one.left.pop(number, None)
            found.append(event)
        if not one.left:
            self._drop(one.name)
        return found

    def _drop(self, name: str) -> None:
        """Forget a job of the cluster whose jobs have ended, or are submitted again."""
        self._submitted.pop(name, None)
        self._dropped.add(name)
        with suppress(DiskError):  # as on a network file system, until the job has closed its files: removed by `close`
            self.store.disk.remove(self.store.job_folder(name))

    def _look(self) -> list[Event]:
        """Ask for the states of all jobs, and end those that the cluster has ended."""
        known = {*self._submitted, *self._dropped}
        states = self.cluster.states(known) if known else None
        if states is None:
            return []
        # what was asked to end, and is replaced, may be queued again by the cluster
        self._dropped = {
            name for name in self._dropped if name in states and states[name].fate in ("queued", "running")
        }
        if again := {name for name in self._dropped if states[name].fate == "queued"}:
            self.cluster.cancel(again)
        found: list[Event] = []
        for one in list(self._submitted.values()):
            state = states.get(one.name)
            if state is not None and (state.fate == "running" or (state.fate == "queued" and not one.asked)):
                one.missing = 0
                continue
            one.missing += 1
            if state is None and one.missing < AGAIN:
                continue
            found += self._news(one)
            if one.left:
                found += self._over(one, state or State("lost", "no longer in its queue"))
        return found

    def _over(self, one: Submitted, state: State) -> list[Event]:
        """The ends of the jobs in a job of the cluster that has ended before them."""
        self._release(one.name, one.left)
        output = self.store.disk.read(self.store.job_folder(one.name) / OUTPUT) or b""
        self._drop(one.name)
        last = output.decode(errors="replace").strip().rpartition("\n")[2]
        said = f"its {self.cluster.title} job ended ({state.word})"
        if state.fate in ("done", "queued"):
            said = f"its {self.cluster.title} job was stopped by its time limit or preempted"
        if not one.ready and last and state.fate in ("failed", "done"):
            raise ExecutorError(
                f"A job could not start: {said}. Its last line of output: {last[:200]}. Fix the problem and "
                "rerun the command."
            )
        return [
            ProcessExited(
                job=number,
                code=-15 if state.fate == "cancelled" else -9,
                # who kills a job before it has said a word is no fault of the job
                infrastructure=state.fate in ("lost", "done", "queued") or number not in one.started,
                reason=said,
                out_of_memory=state.fate == "out_of_memory",
            )
            for number in one.left
        ]


def events_in(text: bytes) -> Iterator[Event]:
    """The events in the lines of a file, without those that a crash has left incomplete."""
    for line in text.splitlines():
        with suppress(ValueError, TypeError, AttributeError):
            yield decode(line)
