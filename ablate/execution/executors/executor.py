"""What a scheduler asks of an executor, which starts a process for each job, here or elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ablate.execution.events import Event
from ablate.execution.jobs import Job


class Executor(Protocol):
    """Starts processes for jobs, and reports what happens in them.

    ``losses``: how often in a row what runs the jobs may end before any of them comes further; then the command ends.
    ``title``: what runs the jobs if they go on when the command ends; else empty.
    """

    losses: int
    title: str

    def submit(self, job: Job) -> None:
        """Start a job in a process of its own, now or when there is room for it."""

    def submit_all(self, jobs: Sequence[Job]) -> int:
        """Submit jobs that go on when the command ends; returns how many have been taken. Only with a ``title``."""

    def cancel(self, number: int) -> None:
        """Kill a job's process."""

    def poll(self, wait: float | None) -> list[Event]:
        """The events since the last call, after ``wait`` seconds at most. A job's last is `ProcessExited` or
        `NotStarted`.

        Raises `ExecutorError` if no process can be started.
        """

    def waiting(self, names: Collection[str]) -> set[str]:
        """Which of these queued jobs, also of other commands, may still begin."""

    def close(self) -> None:
        """End all processes and return when they are gone; jobs on a cluster go on."""


class ExecutorError(Exception):
    """Jobs cannot be run. One line with the reason and the fix; runs keep their state."""
