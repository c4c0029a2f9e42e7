"""Turns jobs into processes on this machine: as many at once as there are slots, each forked from the server."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ablate.study.jobs import Job
from ablate.study.store import Store


class LocalExecutor:
    """Runs jobs in slots. A slot is a CPU core (device ``cpu``) or a GPU (``cuda:0`` …)."""

    def __init__(self, slots: Sequence[str]) -> None:
        self.slots = list(slots)
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, jobs: Sequence[Job], *, fail_fast: bool = False) -> Iterator[dict[str, Any]]:
        """Run all jobs; yields events as they come (``started``, ``epoch``, ``finished``, ``failed`` …, each with ``variant`` and ``seed``).

        A job whose process dies without a word gets the status ``failed`` here. Closing the iterator ends all jobs.
        """
        waiting = list(jobs)
        free = list(self.slots)
        running: dict[int, tuple[Job, str]] = {}
        spoken: set[int] = set()
        if not waiting:
            return
        self._server = self._start()
        assert self._server.stdout is not None
        try:
            for line in self._server.stdout:
                event = json.loads(line)
                if event["event"] == "exit":
                    job, slot = running.pop(event["job"])
                    free.append(slot)
                    if event["job"] not in spoken:
                        yield from self._died(job, event["code"])
                elif event["event"] != "ready":
                    if event["event"] not in ("started", "epoch"):
                        spoken.add(event["job"])
                    yield event
                    if fail_fast and event["event"] in ("failed", "diverged", "out_of_memory", "no_effect"):
                        waiting.clear()
                while waiting and free:
                    job, slot = waiting.pop(0), free.pop(0)
                    job = replace(job, assignment=replace(job.assignment, device=slot))
                    running[job.number] = (job, slot)
                    self._order(b"run " + base64.b64encode(pickle.dumps(job)))
                if not running:
                    return
            for job, _ in running.values():
                yield from self._died(job, self._server.wait())
        finally:
            self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ablate.study.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )

    def _order(self, line: bytes) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        self._server.stdin.write(line + b"\n")
        self._server.stdin.flush()

    def _died(self, job: Job, code: int) -> Iterator[dict[str, Any]]:
        reason = f"its process ended with signal {-code}" if code < 0 else f"its process ended with code {code}"
        if code == -9:
            reason += ", as it does when the machine runs out of memory"
        store = Store(job.root)
        for seed, name in zip(job.assignment.seeds, job.fingerprints, strict=True):
            record = store.record(name, seed)
            status = {
                "status": "failed",
                "reason": reason,
                "seed": seed,
                "epoch": record.epoch,
                "epochs": job.assignment.settings.epochs,
            }
            store.write_status(name, status)
            yield {
                "event": "failed",
                "job": job.number,
                "variant": job.variant,
                "seed": seed,
                "epoch": record.epoch,
                "reason": reason,
            }

    def close(self) -> None:
        """End the server and what still runs; returns when all of it is gone."""
        if self._server is None:
            return
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()
        self._server = None
