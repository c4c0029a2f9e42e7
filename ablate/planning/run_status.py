"""The current status of a study's runs, from any process."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.store.places import Axis, axis_at, on_axis
from ablate.store.store import Store


@dataclass(frozen=True)
class RunNow:
    """A run in training: its last finished epoch (on ``axis``), seconds since its last update, and its process."""

    seed: int
    epoch: float
    epochs: int
    train_loss: float | None
    valid_loss: float | None
    silent: float | None
    pid: int | None
    host: str | None
    fold: int | None = None
    axis: Axis = "epoch"

    @property
    def name(self) -> str:
        """``seed 3``, with the fold if there is one."""
        return run_name(self.seed, self.fold)


@dataclass(frozen=True)
class RowNow:
    """A variant: the number of its runs by status, those in training, and the reasons of failures."""

    variant: str
    runs: dict[str, int]
    running: tuple[RunNow, ...]
    reasons: tuple[str, ...]


def watch(plan: Plan, store: Store, now: float | None = None) -> list[RowNow]:
    """The status of all variants of a plan. ``now``: seconds since 1970."""
    now = time.time() if now is None else now
    rows = []
    for variant in plan.recipe.variants:
        runs = plan.runs_of(variant.name)
        reasons = dict.fromkeys(
            f"{run_name(run.seed, run.record.fold)}: {run.record.status.replace('_', ' ')}: {run.record.reason}"
            for run in runs
            if run.record.reason and run.record.status not in ("finished", "stale")
        )
        running = tuple(run_now(run, store, now) for run in runs if run.record.status == "running")
        states: dict[str, int] = dict(Counter(state_of(run, store) for run in runs))
        rows.append(RowNow(variant.name, states, running, tuple(reasons)))
    return rows


def state_of(run: PlannedRun, store: Store) -> str:
    """The status of a run; ``submitted`` if a job of a cluster is to train it and has not begun."""
    if run.record.status in ("queued", "interrupted", "stale"):
        owner = store.owner(run.fingerprint)
        if owner is not None and owner.queued:
            return "submitted"
    return run.record.status


def run_now(run: PlannedRun, store: Store, now: float) -> RunNow:
    """One run in training. Its metrics are newer than its status, which is written every few seconds."""
    last = store.last_epoch(run.fingerprint)
    point, at = last.get("epoch", 0), last.get("at")
    axis = axis_at(at)
    signs = [sign for sign in (run.record.heartbeat, last.get("time")) if sign is not None]
    return RunNow(
        run.seed,
        on_axis(point, at, axis),
        run.record.epochs or run.variant.settings.planned_epochs,
        last.get("train_loss"),
        last.get("valid_loss"),
        max(now - max(signs), 0.0) if signs else None,
        run.record.pid,
        run.record.host,
        run.record.fold,
        axis,
    )


def run_name(seed: int, fold: int | None) -> str:
    """``seed 3``, or ``seed 3, fold 0``."""
    return f"seed {seed}" if fold is None else f"seed {seed}, fold {fold}"
