"""The folder of runs: the truth about what was trained. All writing to it happens here, through a `Disk`.

Layout below the root (``runs`` unless told otherwise)::

    store/<fingerprint>/settings.yaml      resolved settings, seed, fold
                        provenance.json    versions, git commit, command line, host, device
                        metrics.jsonl      a line an epoch
                        status.json        replaced atomically
                        best.pt, last.pt   weights
                        checkpoint.pt      state to go on from, while it trains; checkpoint.old.pt, the one before
                        log.txt            what the job printed
                        lock               held by the process that writes here
    <study>/study.json                     rows → fingerprints
            recipe.yaml                    the recipe as it was read
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ablate.registry.lazy import torch
from ablate.study.disk import Disk
from ablate.study.records import RunRecord

DIGEST = 32
"""Bytes of the checksum at the head of a checkpoint."""


class Store:
    """Reads and writes the runs below one root folder."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()

    # where things are

    def run_folder(self, fingerprint: str) -> Path:
        """The folder of one run; it need not exist."""
        return self.root / "store" / fingerprint

    def study_folder(self, study: str) -> Path:
        """The folder of one study; it need not exist."""
        return self.root / study

    # reading

    def record(self, fingerprint: str, seed: int = 0, epochs: int = 0) -> RunRecord:
        """What is known of a run; a queued record with ``seed`` and ``epochs`` where nothing is."""
        status = read_json(self.run_folder(fingerprint) / "status.json")
        return RunRecord.from_status(fingerprint, {"seed": seed, "epochs": epochs, **(status or {})})

    def metrics(self, fingerprint: str) -> Iterator[dict[str, Any]]:
        """The lines of a run's metrics, oldest first; a line that was cut off by a crash ends them."""
        try:
            file = (self.run_folder(fingerprint) / "metrics.jsonl").open(encoding="utf-8")
        except FileNotFoundError:
            return
        with file:
            for line in file:
                if not line.endswith("\n"):
                    return
                yield json.loads(line)

    def provenance(self, fingerprint: str) -> dict[str, Any]:
        """Versions, commit, command line, host and device of a run; empty where nothing is known."""
        return read_json(self.run_folder(fingerprint) / "provenance.json") or {}

    def study(self, study: str) -> dict[str, Any]:
        """The study's file: its rows, each with its fingerprints; empty where there is none."""
        return read_json(self.study_folder(study) / "study.json") or {}

    # writing

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        """Replace a JSON file atomically."""
        self.write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, path: Path, text: str) -> None:
        """Replace a text file atomically: a reader sees the old one or the new one, whole."""
        self.disk.replace(path, text.encode())

    def write_status(self, fingerprint: str, status: Mapping[str, Any], *, durable: bool = False) -> None:
        """Replace a run's status. ``durable``: wait until it is on the disk."""
        text = json.dumps(status, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        self.disk.replace(self.run_folder(fingerprint) / "status.json", text.encode(), durable=durable)

    def write_settings(self, fingerprint: str, settings: Mapping[str, Any]) -> None:
        """Write what a run was trained with, as YAML that a person can read."""
        from ruamel.yaml import YAML

        buffer = io.BytesIO()
        YAML(typ="safe", pure=True).dump(dict(settings), buffer)
        self.disk.replace(self.run_folder(fingerprint) / "settings.yaml", buffer.getvalue())

    def append_to(self, fingerprint: str, name: str) -> BinaryIO:
        """A run's file, open for appending; its folder is made."""
        return self.disk.append(self.run_folder(fingerprint) / name)

    def append_line(self, file: BinaryIO, line: Mapping[str, Any]) -> None:
        """Add a line to metrics opened with `append_to`: it is the system's at once, so the process may die."""
        self.disk.add(file, (json.dumps(line, allow_nan=False) + "\n").encode())

    def save_tensors(self, fingerprint: str, name: str, state: Mapping[str, Any]) -> None:
        """Write tensors atomically, to be read with ``torch.load(weights_only=True)``."""
        self.disk.replace(self.run_folder(fingerprint) / name, lambda file: torch.save(dict(state), file))

    # checkpoints

    def save_checkpoint(self, fingerprint: str, state: Mapping[str, Any]) -> None:
        """Keep a state to go on from, with its checksum; the one before stays until this one is whole."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getvalue()
        path = self.run_folder(fingerprint) / "checkpoint.pt"
        if path.exists():
            self.disk.rename(path, path.with_name("checkpoint.old.pt"))
        self.disk.replace(path, hashlib.blake2b(payload, digest_size=DIGEST).digest() + payload, durable=True)

    def load_checkpoint(self, fingerprint: str) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest state that is whole, or None; and a sentence for each that is not."""
        damaged = []
        for name in ("checkpoint.pt", "checkpoint.old.pt"):
            path = self.run_folder(fingerprint) / name
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            payload = data[DIGEST:]
            if hashlib.blake2b(payload, digest_size=DIGEST).digest() != data[:DIGEST]:
                damaged.append(f"{name} is damaged and was left aside")
                continue
            return torch.load(io.BytesIO(payload), weights_only=True), damaged
        return None, damaged

    def drop_checkpoints(self, fingerprint: str) -> None:
        """Remove the states of a run that needs them no longer."""
        for name in ("checkpoint.pt", "checkpoint.old.pt"):
            path = self.run_folder(fingerprint) / name
            if path.exists():
                self.disk.remove(path)

    def cut_metrics(self, fingerprint: str, epoch: int) -> None:
        """Drop the metric lines after an epoch, and a line that a crash cut off."""
        path = self.run_folder(fingerprint) / "metrics.jsonl"
        if not path.exists():
            return
        size = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") or json.loads(line)["epoch"] > epoch:
                    break
                size += len(line)
        if size != path.stat().st_size:
            self.disk.cut(path, size)

    # whose turn it is

    def lock(self, fingerprint: str, *, wait: bool = True) -> BinaryIO | None:
        """Become the one writer of a run; the lock ends with the returned file, or with the process. None: another one has it, and ``wait`` is off."""
        path = self.run_folder(fingerprint) / "lock"
        file = self.disk.append(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return None
        return file

    def clear(self, fingerprint: str) -> None:
        """Remove what an earlier attempt at a run left behind; its lock stays."""
        folder = self.run_folder(fingerprint)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name != "lock":
                self.disk.remove(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, None where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    assert isinstance(value, dict)
    return value
