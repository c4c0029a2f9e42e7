"""What a scheduler asks of an executor, which starts a process for each job, here or elsewhere."""

from __future__ import annotations

from typing import Protocol

from ablate.execution.events import Event
from ablate.execution.jobs import Job


class Executor(Protocol):
    """Starts processes for jobs, and reports what happens in them."""

    def submit(self, job: Job) -> None:
        """Start a job in a process of its own."""

    def cancel(self, number: int) -> None:
        """Kill a job's process."""

    def poll(self, wait: float | None) -> list[Event]:
        """The events since the last call, after ``wait`` seconds at most. A job's last is `ProcessExited` or
        `NotStarted`.

        Raises `ExecutorError` if no process can be started.
        """

    def close(self) -> None:
        """End all processes; returns when they are gone."""


class ExecutorError(Exception):
    """Jobs cannot be run. One line with the reason and the fix; runs keep their state."""
