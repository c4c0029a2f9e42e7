"""Checkpoints: one for all runs of a job, with a checksum; the previous one is kept until the next is complete."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.registry.lazy import torch
from ablate.store.store import Store

NAMES = ("checkpoint.pt", "checkpoint.old.pt")
DIGEST = 32
"""Bytes of the checksum at the beginning of a file."""


@dataclass(frozen=True)
class Checkpoint:
    """The state from which a job can resume.

    ``runs``: the fingerprints of the stack, in order; ``threads``: number of threads; ``began``: time of its first
    attempt in seconds since 1970; ``seconds``: wall time so far; ``lines``: the last epoch in each run's metrics;
    ``state``: the trainer's state.
    """

    runs: tuple[str, ...]
    threads: int
    began: float
    seconds: float
    lines: tuple[int, ...]
    state: Mapping[str, Any]


def save(store: Store, checkpoint: Checkpoint) -> None:
    """Save a checkpoint in the folder of the stack's first run."""
    buffer = io.BytesIO()
    lists = {"runs": list(checkpoint.runs), "lines": list(checkpoint.lines)}
    torch.save({**vars(checkpoint), **lists, "state": dict(checkpoint.state)}, buffer)
    payload = buffer.getvalue()
    new, old = _paths(store, checkpoint.runs[0])
    if store.disk.kind(new) == "file":
        store.disk.rename(new, old)
    store.disk.replace(new, _digest(payload) + payload, durable=True)


def load(store: Store, fingerprint: str, device: str = "cpu") -> tuple[Checkpoint | None, list[str]]:
    """The newest valid checkpoint in a run's folder, or None; and a message for each invalid one."""
    damaged = []
    for path in _paths(store, fingerprint):
        data = store.disk.read(path)
        if data is None:
            continue
        payload = data[DIGEST:]
        if _digest(payload) != data[:DIGEST]:
            damaged.append(f"{path.name} is damaged and was ignored")
            continue
        try:
            found = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        except Exception as error:
            damaged.append(f"{path.name} cannot be read ({' '.join(str(error).split())[:100]})")
            continue
        return Checkpoint(**{**found, "runs": tuple(found["runs"]), "lines": tuple(found["lines"])}), damaged
    return None, damaged


def drop(store: Store, fingerprint: str) -> None:
    """Remove the checkpoints in a run's folder, the newest last."""
    for path in reversed(_paths(store, fingerprint)):
        if store.disk.kind(path) is not None:
            store.disk.remove(path)


def _paths(store: Store, fingerprint: str) -> list[Path]:
    return [store.run_folder(fingerprint) / name for name in NAMES]


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST).digest()
