"""Writes what the engine reports about a job into the store, and sends events to the parent."""

from __future__ import annotations

import math
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from ablate.engine.contract import Facts, Outcome, State
from ablate.execution.events import EpochEnded, Listener, RunEnded, RunStarted, StackFailed
from ablate.execution.jobs import Job
from ablate.execution.shutdown import Ending
from ablate.notes.note import Note
from ablate.recipe.own_training import own_training
from ablate.registry.lazy import torch
from ablate.store import checkpoints, examples
from ablate.store.checkpoints import Checkpoint
from ablate.store.places import at_of
from ablate.store.provenance import Origin
from ablate.store.records import RunRecord, Status
from ablate.store.store import Store

TOLD_EVERY = 0.2
"""Seconds between two `EpochEnded` of one run, at least."""

BEAT_EVERY = 5.0
"""Seconds between two writes of a running run's status."""

SHARE = 0.02
"""Two checkpoints are at least this fraction of the training time so far apart."""


class TakenOver(BaseException):
    """Another process has claimed the runs, because this one seemed to have ended."""


class RunRecorder:
    """Records a job's training (`Report`).

    ``settled``: indices of the runs of the stack that had ended before; reports about them are ignored.
    ``kept``: the checkpoint that the job continues from; ``before``: the runs' records until now. ``check`` raises if
    data or code have changed since the job was made. ``ours``: whether this process is still the writer of the runs.
    """

    def __init__(
        self,
        job: Job,
        store: Store,
        listen: Listener,
        ending: Ending,
        kept: Checkpoint | None,
        settled: set[int],
        before: Sequence[RunRecord],
        check: Callable[[], None],
        ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self.job, self.store, self.listen, self.ending, self.check = job, store, listen, ending, check
        self.ours = ours
        self.count = len(job.fingerprints)
        self.ended_runs = set(settled)
        self.epochs = job.assignment.settings.planned_epochs
        self.policy = job.assignment.settings.checkpoint
        self.began = kept.began if kept else time.time()
        self.before = kept.seconds if kept else 0.0
        self.clock = self.saved = time.monotonic()
        self.saved_epoch = kept.state["epoch"] if kept else 0
        self.threads = kept.threads if kept else job.threads
        self.attempts = [
            max(record.attempt + (kept is None and record.status != "queued"), least)
            for record, least in zip(before, job.attempts, strict=True)
        ]
        self.peak_before = max((record.peak_memory or 0 for record in before), default=0) if kept else 0
        alike = [record for record in before if record.stack == job.assignment.seeds and not job.fresh]
        self.notes = [note for record in alike for note in record.notes if note.kind == "not_stacked"]
        if job.split:
            self.notes.append(not_stacked(job.split))
        self.facts = Facts()
        self.origin: Origin | None = None
        own = own_training(job.assignment.settings.trainer)
        self.reading = None if own is None else own.reading
        self.outputs: dict[int, tuple[tuple[int, int], ...]] = {}
        self.lines = list(kept.lines) if kept else [0] * self.count
        self.places = [record.places for record in before]
        self.told = [-math.inf] * self.count
        self.beat = [self.clock] * self.count
        self.files: dict[int, BinaryIO] = {}
        for replica in self.under_way():
            self.files[replica] = store.append_to(job.fingerprints[replica], "metrics.jsonl")
            store.write_status(self.record(replica, "running"))

    def under_way(self) -> list[int]:
        """The indices of the runs that have not ended."""
        return [replica for replica in range(self.count) if replica not in self.ended_runs]

    @property
    def seconds(self) -> float:
        """Wall time of this training so far, including earlier attempts."""
        return self.before + time.monotonic() - self.clock

    def _steps(self, replica: int) -> int | None:
        """The number of optimizer steps so far, if it is known."""
        per_epoch = self.facts.steps_per_epoch
        if not per_epoch:
            return per_epoch
        last = (self.places[replica] or {}).get("last", {})
        if "step" in last:
            return int(last["step"])
        return min(per_epoch * self.lines[replica], round(self.job.assignment.settings.length(per_epoch) * per_epoch))

    def record(self, replica: int, status: Status, reason: str = "") -> RunRecord:
        """A run as it is now."""
        now, facts = time.time(), self.facts
        seconds = round(self.seconds / self.count, 3)
        return RunRecord(
            self.job.fingerprints[replica],
            seed=self.job.assignment.seeds[replica],
            fold=self.job.assignment.fold,
            status=status,
            attempt=self.attempts[replica],
            reason=reason,
            epoch=self.lines[replica],
            epochs=self.epochs,
            places=self.places[replica],
            parameters=facts.parameters,
            steps=self._steps(replica),
            peak_memory=max(peak_memory(self.job.assignment.device), self.peak_before),
            target_scaling=facts.target_scaling,
            started=self.began,
            finished=None if status in ("running", "interrupted") else max(now, self.began),
            heartbeat=now,
            seconds=seconds,
            device_seconds=seconds,
            stack=self.job.assignment.seeds,
            threads=self.threads,
            notes=tuple(dict.fromkeys([*facts.notes, *self.notes])),
            pid=os.getpid(),
            host=socket.gethostname(),
            reading=self.reading,
            output=self.outputs.get(replica),
            origin=self.origin,
        )

    # what the engine calls

    def started(self, facts: Facts) -> None:
        self.check()  # data and code are loaded by now
        with self.ending.shield():
            self.facts = facts
            if (steps := self.job.assignment.settings.steps) is not None and facts.steps_per_epoch:
                self.epochs = -(-steps // facts.steps_per_epoch)
            provenance = self.job.provenance.of_process(self.job.assignment.device, facts)
            self.origin = provenance.origin
            for replica in self.under_way():
                self.store.write_provenance(self.job.fingerprints[replica], provenance)
                self.store.write_status(self.record(replica, "running"))
                self.listen(RunStarted(**self.job.run_of(replica), epochs=self.epochs, parameters=facts.parameters))
            self.ending.training = True

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        if replica in self.ended_runs:
            return
        with self.ending.shield():
            self.store.append_line(self.files[replica], line)
            self.lines[replica] = line["epoch"]
            self.places[replica] = {"last": line["at"]} if "at" in line else None
            now = time.monotonic()
            if now - self.told[replica] > TOLD_EVERY:
                self.told[replica] = now
                self.listen(
                    EpochEnded(
                        **self.job.run_of(replica),
                        epoch=line["epoch"],
                        at=line.get("at"),
                        epochs=self.epochs,
                        train_loss=line.get("train_loss"),
                        valid_loss=line.get("valid_loss"),
                        seconds=line.get("seconds"),
                    )
                )
            if now - self.beat[replica] > BEAT_EVERY:
                self.beat[replica] = now
                if not self.ours():
                    raise TakenOver
                self.store.write_status(self.record(replica, "running"))

    def folder(self, replica: int) -> Path:
        return self.store.work_folder(self.job.fingerprints[replica])

    def output(self, replica: int, parts: Sequence[Sequence[int]]) -> None:
        self.outputs[replica] = tuple((start, end) for start, end in parts)

    def log(self, replica: int, start: int, end: int) -> bytes:
        path = self.store.run_folder(self.job.fingerprints[0]) / "log.txt"
        return (self.store.disk.read(path) or b"")[start:end]

    def end_if_asked(self, *, only_if_raised: bool = False) -> None:
        if only_if_raised:
            self.ending.end_again()
        else:
            self.ending.saved()

    def due(self, epoch: int) -> bool:
        if self.ending.asked is not None:
            return True
        if self.policy.epochs is not None:
            return epoch - self.saved_epoch >= self.policy.epochs
        assert self.policy.seconds is not None
        return time.monotonic() - self.saved >= max(self.policy.seconds, SHARE * self.seconds)

    def checkpoint(self, state: State) -> None:
        with self.ending.shield():
            # after a power cut, the metrics must reach at least as far as this checkpoint
            for file in self.files.values():
                self.store.disk.sync(file)
            checkpoints.save(
                self.store,
                Checkpoint(
                    self.job.fingerprints, self.threads, self.began, self.seconds, tuple(self.lines), dict(state)
                ),
            )
            self.saved, self.saved_epoch = time.monotonic(), state["epoch"]
        self.ending.saved()

    def weights(self, replica: int, which: str, state: State) -> None:
        if replica in self.ended_runs:
            return
        with self.ending.shield():
            self.store.save_tensors(self.job.fingerprints[replica], f"{which}.pt", state)

    def ended(self, replica: int, outcome: Outcome) -> None:
        if replica in self.ended_runs:
            return
        with self.ending.shield():
            self.store.disk.sync(self.files[replica])
            results, unknown = known_results(outcome)
            known = self.record(replica, outcome.status, outcome.reason)
            record = replace(
                known,
                epoch=outcome.epoch,
                best_epoch=outcome.best_epoch,
                selected_epoch=outcome.selected_epoch,
                places=outcome.places,
                results=results,
                notes=(*known.notes, *outcome.notes, *unknown),
                first_loss=outcome.first_loss if math.isfinite(outcome.first_loss or 0.0) else None,
                first_weights=outcome.first_weights,
            )
            if outcome.examples is not None:
                examples.save(self.store, record.fingerprint, outcome.examples)
            self.store.write_status(record, durable=True)
            self.close(replica)
            if not self.under_way():
                checkpoints.drop(self.store, self.job.fingerprints[0])
            self.report_end(record)

    # what ends all runs at once

    def close(self, replica: int) -> None:
        """Close the files of a run that has ended."""
        self.ended_runs.add(replica)
        if file := self.files.pop(replica, None):
            file.close()

    def report_end(self, record: RunRecord) -> None:
        """Report that a run has ended."""
        selected = record.results.get("selected", {})
        self.listen(
            RunEnded(
                **self.job.run_of(self.job.fingerprints.index(record.fingerprint)),
                status=record.status,
                reason=record.reason,
                epoch=record.epoch,
                at=at_of(record),
                epochs=self.epochs,
                train_loss=selected.get("train_loss"),
                valid_loss=selected.get("valid_loss"),
                seconds=record.seconds,
            )
        )

    def all_ended(self, status: Status, reason: str) -> None:
        """End all running runs for the same reason."""
        for replica in self.under_way():
            self.close(replica)
            record = self.record(replica, status, reason)
            self.store.write_status(record, durable=status != "interrupted")
            self.report_end(record)

    def split(self, reason: str) -> None:
        """The stack failed: have its seeds trained one by one, so that one bad seed does not fail the others."""
        seeds = self.job.assignment.seeds
        checkpoints.drop(self.store, self.job.fingerprints[0])
        alone = [(replica, seeds[replica]) for replica in self.under_way()]
        for replica, seed in alone:
            self.close(replica)
            record = self.record(replica, "interrupted", f"training its seeds in parallel failed ({reason})")
            notes = (*record.notes, not_stacked(reason))
            self.store.write_status(replace(record, stack=(seed,), notes=notes))
        self.listen(
            StackFailed(
                job=self.job.number, variant=self.job.variant, seeds=tuple(seed for _, seed in alone), reason=reason
            )
        )


def not_stacked(reason: str) -> Note:
    """The note on a seed that was to be trained in a stack, and is trained alone: its numbers differ slightly."""
    return Note("not_stacked", values={"reason": reason})


def known_results(outcome: Outcome) -> tuple[dict[str, dict[str, float]], list[Note]]:
    """An outcome's numbers without those that are not finite, which JSON cannot hold; and a note for each of these."""
    kept: dict[str, dict[str, float]] = {}
    notes: list[Note] = []
    for which, values in outcome.results.items():
        kept[which] = {name: value for name, value in values.items() if math.isfinite(value)}
        notes += [
            Note("not_finite", values={"metric": name, "value": str(value), "at": which})
            for name, value in values.items()
            if not math.isfinite(value)
        ]
    return kept, notes


def peak_memory(device: str) -> int:
    """Peak memory in bytes: torch's allocations on a GPU, otherwise the memory of this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
