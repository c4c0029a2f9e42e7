"""Runs one job in its own process: loads the data, trains, writes the store, tells the parent."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ablate.data.load import load_parts
from ablate.engine.trainer import Outcome
from ablate.engine.training import train
from ablate.registry.lazy import torch
from ablate.study.jobs import Job
from ablate.study.provenance import of_process
from ablate.study.store import Store
from ablate.tricks.trick import NoEffect

Tell = Callable[[dict[str, Any]], None]


class Interrupted(BaseException):
    """The parent asked this job to end."""


class StoreReport:
    """Writes what the engine reports into the store, and tells the parent a few times a second."""

    def __init__(self, job: Job, store: Store, tell: Tell) -> None:
        self.job, self.store, self.tell = job, store, tell
        self.epochs = job.assignment.settings.epochs
        self.began = time.time()
        self.clock = time.monotonic()
        self.told = 0.0
        self.saved = self.clock
        self.parameters: int | None = None
        self.notes: list[str] = []
        self.lines = [0] * len(job.fingerprints)
        self.files: list[BinaryIO] = [store.append_to(name, "metrics.jsonl") for name in job.fingerprints]
        for replica in range(len(job.fingerprints)):
            self._status(replica, "running")

    def _status(self, replica: int, status: str, **fields: Any) -> None:
        seconds = time.monotonic() - self.clock
        self.store.write_status(
            self.job.fingerprints[replica],
            {
                "status": status,
                "seed": self.job.assignment.seeds[replica],
                "fold": self.job.assignment.fold,
                "epoch": self.lines[replica],
                "epochs": self.epochs,
                "parameters": self.parameters,
                "started": self.began,
                "finished": None if status == "running" else time.time(),
                "seconds": round(seconds / len(self.job.fingerprints), 3),
                "device_seconds": round(seconds / len(self.job.fingerprints), 3),
                "notes": self.notes,
                "pid": os.getpid(),
                **fields,
            },
        )

    def _event(self, replica: int, event: str, **fields: Any) -> None:
        self.tell({"event": event, "seed": self.job.assignment.seeds[replica], "epochs": self.epochs, **fields})

    def started(self, facts: Mapping[str, Any]) -> None:
        self.parameters = facts["parameters"]
        self.notes = list(facts["notes"])
        for replica, name in enumerate(self.job.fingerprints):
            provenance = {**self.job.provenance, **of_process(self.job.assignment.device), "facts": dict(facts)}
            self.store.write_json(self.store.run_folder(name) / "provenance.json", provenance)
            self._status(replica, "running")
            self._event(replica, "started", parameters=self.parameters)

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        self.store.append_line(self.files[replica], line)
        self.lines[replica] = line["epoch"]
        now = time.monotonic()
        if now - self.told > 0.2:
            self._event(
                replica, "epoch", **{key: line[key] for key in ("epoch", "train_loss", "valid_loss", "seconds")}
            )
            self.told = now

    def due(self, epoch: int) -> bool:
        now = time.monotonic()
        return now - self.saved >= max(30.0, 0.02 * (now - self.clock))

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        self.saved = time.monotonic()
        self.store.save_checkpoint(self.job.fingerprints[0], state)

    def weights(self, replica: int, which: str, state: Mapping[str, Any]) -> None:
        self.store.save_tensors(self.job.fingerprints[replica], f"{which}.pt", state)

    def ended(self, replica: int, outcome: Outcome) -> None:
        self.files[replica].close()
        self._status(
            replica,
            outcome.status,
            reason=outcome.reason,
            epoch=outcome.epoch,
            best_epoch=outcome.best_epoch,
            selected_epoch=outcome.selected_epoch,
            results={which: dict(values) for which, values in outcome.results.items()},
        )
        self.store.drop_checkpoints(self.job.fingerprints[replica])
        self._event(
            replica, outcome.status, epoch=outcome.epoch, reason=outcome.reason, **outcome.results.get("selected", {})
        )

    def failed(self, status: str, reason: str) -> None:
        """Every seed of the job ended for the same reason."""
        for replica, file in enumerate(self.files):
            file.close()
            self._status(replica, status, reason=reason)
            self._event(replica, status, epoch=self.lines[replica], reason=reason)


def run_job(job: Job, tell: Tell) -> None:
    """Train a job to its end, whatever that is: the store has the runs' status afterwards, and the log has what was printed.

    Where a checkpoint of an earlier attempt is there, the job goes on from it. Runs that another process finished meanwhile are left as they are.
    """
    store = Store(job.root)
    locks = [store.lock(name) for name in sorted(job.fingerprints)]
    if not job.fresh and all(store.record(name).status == "finished" for name in job.fingerprints):
        for seed in job.assignment.seeds:
            tell({"event": "finished", "seed": seed, "epochs": job.assignment.settings.epochs, "elsewhere": True})
        return
    state, damaged = (None, []) if job.fresh else store.load_checkpoint(job.fingerprints[0])
    settings = job.assignment.settings
    for seed, name in zip(job.assignment.seeds, job.fingerprints, strict=True):
        if state is None:
            store.clear(name)
        else:
            store.cut_metrics(name, state["epoch"])
        store.write_settings(
            name, {**settings.dump(), "seed": seed, "fold": job.assignment.fold, "folder": str(job.assignment.folder)}
        )
    log = store.append_to(job.fingerprints[0], "log.txt")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    for sentence in damaged:
        os.write(log.fileno(), f"{sentence}\n".encode())
    torch.set_num_threads(job.threads)
    report = StoreReport(job, store, tell)
    try:
        train(job.assignment, load_parts(settings.data, job.assignment.folder), report, state)
    except Interrupted:
        report.failed("interrupted", "")
    except NoEffect as error:
        report.failed("no_effect", str(error))
    except Exception as error:
        traceback.print_exc()
        report.failed(*diagnosis(error))
    sys.stdout.flush()
    sys.stderr.flush()
    for lock in locks:
        if lock is not None:
            lock.close()


def diagnosis(error: Exception) -> tuple[str, str]:
    """The status and the one-line reason of a job that raised."""
    text = " ".join(str(error).split())
    if (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "Storage size calculation overflowed" in text
    ):
        return "out_of_memory", shortened(text)
    return "failed", shortened(text if type(error) is ValueError else f"{type(error).__name__}: {text}")


def shortened(text: str, limit: int = 300) -> str:
    """At most ``limit`` characters, with an ellipsis where something is left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def main(job: Job, channel: int) -> None:
    """The body of a forked process: run the job; events go as JSON lines into the pipe ``channel``."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGTERM, interrupt)

    def tell(event: dict[str, Any]) -> None:
        os.write(channel, (json.dumps({"job": job.number, "variant": job.variant, **event}) + "\n").encode())

    run_job(job, tell)
