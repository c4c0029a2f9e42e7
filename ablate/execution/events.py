"""What jobs and executors report, as typed records; one line of JSON each in a pipe or a file (`encode`, `decode`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypedDict

from ablate.store.places import At
from ablate.store.records import ENDED_BADLY, Status


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job. ``job`` is the number of the job, 0 if it concerns none."""

    job: int = 0


@dataclass(frozen=True, kw_only=True)
class RunEvent(Event):
    """Something that happened to one run: a variant with one seed (and fold)."""

    variant: str
    seed: int
    fold: int | None = None


@dataclass(frozen=True, kw_only=True)
class SeedsEvent(Event):
    """Something that happened to several ``seeds`` of a job."""

    variant: str
    seeds: tuple[int, ...]


class RunKey(TypedDict):
    """What every `RunEvent` says."""

    job: int
    variant: str
    seed: int
    fold: int | None


@dataclass(frozen=True, kw_only=True)
class RunStarted(RunEvent):
    """A run begins, or goes on from a checkpoint. ``epochs`` is how many it trains at most."""

    epochs: int
    parameters: int | None = None


@dataclass(frozen=True, kw_only=True)
class EpochEnded(RunEvent):
    """A run ended an epoch. Sent a few times a second at most, so some epochs are never reported.

    ``epoch`` counts the points of its curves, ``at`` is the place that the user's own training gave (`store.places`).
    """

    epoch: int
    epochs: int
    at: At = None
    train_loss: float | None = None
    valid_loss: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunEnded(RunEvent):
    """A run reached ``status``. ``elsewhere``: another process trained it."""

    status: Status
    reason: str = ""
    epoch: int | None = None
    epochs: int | None = None
    at: At = None
    train_loss: float | None = None
    valid_loss: float | None = None
    seconds: float | None = None
    elsewhere: bool = False

    @property
    def badly(self) -> bool:
        """Whether the run failed, diverged, timed out, or the like."""
        return self.status in ENDED_BADLY


@dataclass(frozen=True, kw_only=True)
class CheckpointDamaged(SeedsEvent):
    """Files of a checkpoint could not be used. The job goes on after ``epoch``; from the start if that is None."""

    damage: tuple[str, ...]
    epoch: int | None
    at: At = None


@dataclass(frozen=True, kw_only=True)
class StackFailed(SeedsEvent):
    """A stack failed as a whole; its ``seeds`` are trained one by one."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class JobRetried(SeedsEvent):
    """A job's process died, or what ran it; its ``seeds`` are trained again, ``one_by_one`` or together."""

    reason: str
    one_by_one: bool


@dataclass(frozen=True, kw_only=True)
class WaitingForOthers(Event):
    """Nothing is left to do but to wait for ``runs`` that other processes train."""

    runs: int


@dataclass(frozen=True, kw_only=True)
class JobBusy(Event):
    """Another process trains one of the job's runs, so the job did nothing."""


@dataclass(frozen=True, kw_only=True)
class StoreFailed(Event):
    """The folder of runs cannot be written: the system's error number, the reason and the file."""

    number: int
    reason: str
    path: str


@dataclass(frozen=True, kw_only=True)
class NotStarted(Event):
    """The system refuses another process for a job."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ProcessStarted(Event):
    """A job has a process, the leader of its group."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class ProcessExited(Event):
    """A job's process has ended with this exit code; a negative one is the number of a signal.

    ``infrastructure``: what ran the job has ended, with this exit code, and took the job along: a server or a node. The
    job itself is not to blame. ``reason`` says how a job of a cluster ended, ``out_of_memory`` that it needed more than
    it had.
    """

    code: int
    infrastructure: bool = False
    reason: str = ""
    out_of_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class ExecutorReady(Event):
    """The fork server takes jobs from now on."""


@dataclass(frozen=True, kw_only=True)
class Loading(Event):
    """A process has ``begun`` to load data for all jobs, or has loaded them."""

    begun: bool


@dataclass(frozen=True, kw_only=True)
class Answered(Event):
    """A part of the base64 of an answer (`ablate.execution.preparation.Answers`); the next one follows if it is not the
    ``last``.
    """

    number: int
    answer: str
    last: bool


Listener = Callable[[Event], None]
"""Gets every event."""

_KINDS: dict[str, Callable[..., Event]] = {
    kind.__name__: kind
    for kind in (
        *(RunStarted, EpochEnded, RunEnded, CheckpointDamaged, StackFailed, JobRetried, WaitingForOthers),
        *(JobBusy, StoreFailed, NotStarted, ProcessStarted, ProcessExited, ExecutorReady, Loading, Answered),
    )
}


def encode(event: Event) -> bytes:
    """An event as one line of JSON."""
    return (json.dumps({"event": type(event).__name__, **asdict(event)}) + "\n").encode()


def decode(line: bytes) -> Event:
    """The event of one line. Raises ValueError if it is none."""
    fields = json.loads(line)
    kind = _KINDS.get(fields.pop("event", ""))
    if kind is None:
        raise ValueError(f"event (={line!r}) has an unknown kind.")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
