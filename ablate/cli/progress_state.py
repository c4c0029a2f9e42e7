"""The progress of a study's runs, from the events that jobs report. Numbers only; `progress` shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ablate.execution.events import EpochEnded, RunEnded, RunEvent, RunStarted
from ablate.store.places import At
from ablate.store.records import Status


@dataclass
class RunState:
    """One run, as of its last event."""

    status: Status = "running"
    epoch: float = 0
    epochs: int = 0
    at: At = None
    train_loss: float | None = None
    valid_loss: float | None = None
    seconds: float | None = None
    reason: str = ""
    job: int = 0
    elsewhere: bool = False

    @property
    def active(self) -> bool:
        return self.status == "running"

    @property
    def done(self) -> bool:
        return self.status not in ("running", "interrupted")


@dataclass
class RowState:
    """One variant: ``planned`` runs of ``epochs`` each. ``earned`` counts epochs trained since ``began`` (seconds on
    the caller's clock).
    """

    variant: str
    planned: int
    epochs: int
    runs: dict[tuple[int, int | None], RunState] = field(default_factory=dict)
    earned: float = 0
    began: float | None = None

    @property
    def active(self) -> list[RunState]:
        """Runs under way."""
        return [run for run in self.runs.values() if run.active]

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return sum(run.done for run in self.runs.values())

    @property
    def work(self) -> int:
        """Epochs in all."""
        return max(self.planned, len(self.runs)) * self.epochs

    @property
    def behind(self) -> float:
        """Epochs that are over: all of a run's once it has ended, however early."""
        return sum(self.epochs if run.done else min(run.epoch, self.epochs) for run in self.runs.values())

    @property
    def slowest(self) -> RunState | None:
        """The least advanced run under way."""
        return min(self.active, key=lambda run: run.epoch, default=None)

    def loss(self, name: str) -> float | None:
        """The mean of the latest ``train_loss`` or ``valid_loss`` of the runs under way, or of those that have
        finished.
        """
        runs = self.active or [run for run in self.runs.values() if run.status == "finished"]
        known = [value for run in runs if (value := getattr(run, name)) is not None]
        return sum(known) / len(known) if known else None


class ProgressState:
    """All rows of a study, in its order."""

    def __init__(self, rows: Iterable[tuple[str, int, int]]) -> None:
        self.rows = {variant: RowState(variant, planned, epochs) for variant, planned, epochs in rows}

    def add(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """More runs are to come, of known rows or of new ones."""
        for variant, count, epochs in rows:
            row = self.rows.setdefault(variant, RowState(variant, 0, epochs))
            row.planned = max(row.planned, len(row.runs)) + count

    def take(self, event: RunEvent, now: float) -> RunState:
        """Record an event and return its run. A variant that was not announced gets a row of its own."""
        epochs = getattr(event, "epochs", None)
        row = self.rows.setdefault(event.variant, RowState(event.variant, 1, epochs or 0))
        key = (event.seed, event.fold)
        run = row.runs.get(key)
        if run is None or (isinstance(event, RunStarted) and not run.active):
            # retried: the earlier attempt no longer counts
            run = row.runs[key] = RunState()
        if row.began is None:
            row.began = now
        run.status = event.status if isinstance(event, RunEnded) else "running"
        run.elsewhere = isinstance(event, RunEnded) and event.elsewhere
        run.job = event.job
        if isinstance(event, EpochEnded | RunEnded) and event.epoch is not None:
            epoch = event.epoch if event.at is None else event.at.get("epoch", event.epoch)
            # The seeds of a stack go together, but need not all say so.
            together = [other for other in row.active if other.job == run.job != 0] if run.active else []
            for each in {id(one): one for one in (run, *together)}.values():
                row.earned += gained(each, epoch)
                each.epoch, each.at = epoch, event.at
        for name in ("epochs", "train_loss", "valid_loss", "seconds", "reason"):
            if (value := getattr(event, name, None)) is not None:
                setattr(run, name, value)
        row.epochs = row.epochs or run.epochs  # with steps, it is known only from the data
        return run

    @property
    def planned(self) -> int:
        """Runs in all."""
        return sum(max(row.planned, len(row.runs)) for row in self.rows.values())

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return sum(row.done for row in self.rows.values())

    def left(self, now: float) -> float | None:
        """Seconds until all is done, at the pace so far; None before there is one."""
        return remaining(self.rows.values(), now)


def gained(run: RunState, epoch: float) -> float:
    """Epochs trained since a run was last heard of. A resumed run comes in with epochs that were trained another day:
    its first counts as one.
    """
    return max(epoch - run.epoch, 0) if run.epoch else int(run.active)


def remaining(rows: Iterable[RowState], now: float) -> float | None:
    """Seconds that these rows still need at the pace at which they went together; None before there is one."""
    listed = list(rows)
    began = [row.began for row in listed if row.began is not None]
    earned = sum(row.earned for row in listed)
    if not began or not earned or now <= min(began):
        return None
    return sum(row.work - row.behind for row in listed) * (now - min(began)) / earned


def spoken(seconds: float) -> str:
    """A duration in two units at most: ``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = round(seconds)
    for big, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            first, rest = divmod(whole, size)
            return f"{first} {big}" + (f" {rest // part} {small}" if rest >= part else "")
    return f"{whole} s"
