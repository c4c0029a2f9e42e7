"""The folder of runs: the truth about what was trained. All writing to it happens here, through a `Disk`.

Layout below the root (``runs`` unless told otherwise)::

    store/<fingerprint>/settings.yaml      resolved settings, seed, fold
                        identity.json      all that the fingerprint was made of
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

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from ablate.registry.lazy import torch
from ablate.store import locks
from ablate.store.disk import Disk
from ablate.store.records import RunRecord

KEPT = ("lock", "log.txt")
"""What stays in a run's folder when it begins again."""

TAIL = 1 << 16
"""Bytes from the end of a run's metrics that hold at least one whole line."""


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

    def lock_file(self, fingerprint: str) -> Path:
        """The file that the one writer of a run holds a lock on."""
        return self.run_folder(fingerprint) / "lock"

    # reading

    def record(self, fingerprint: str, seed: int = 0, epochs: int = 0, fold: int | None = None) -> RunRecord:
        """What is known of a run; a queued record with ``seed``, ``epochs`` and ``fold`` where nothing is.

        A run that says it is running, with no process that holds its lock, was interrupted: its process is gone.
        """
        status = self._status(fingerprint)
        if status.get("status") == "running" and not locks.is_held(self.lock_file(fingerprint)):
            # it may have ended between the two looks
            status = self._status(fingerprint)
            if status.get("status") == "running":
                status |= {"status": "interrupted", "reason": "its process is gone"}
        return RunRecord.from_status(fingerprint, {"seed": seed, "epochs": epochs, "fold": fold, **status})

    def _status(self, fingerprint: str) -> dict[str, Any]:
        return read_or_nothing(self.run_folder(fingerprint) / "status.json")

    def metrics(self, fingerprint: str) -> Iterator[dict[str, Any]]:
        """The lines of a run's metrics, oldest first; a line that was cut off by a crash ends them."""
        for line, _ in self._metric_lines(fingerprint):
            yield line

    def last_epoch(self, fingerprint: str) -> dict[str, Any]:
        """The last line of a run's metrics, without reading all of them; empty where there is none."""
        try:
            with (self.run_folder(fingerprint) / "metrics.jsonl").open("rb") as file:
                file.seek(max(file.seek(0, io.SEEK_END) - TAIL, 0))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return {}
        for text in reversed(lines[:-1]):
            try:
                return dict(json.loads(text))
            except ValueError:
                continue
        return {}

    def _metric_lines(self, fingerprint: str) -> Iterator[tuple[dict[str, Any], int]]:
        """Each whole line, and how many bytes into the file it ends."""
        try:
            file = (self.run_folder(fingerprint) / "metrics.jsonl").open("rb")
        except FileNotFoundError:
            return
        size = 0
        with file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    return
                if not text.endswith(b"\n"):
                    return
                size += len(text)
                yield line, size

    def provenance(self, fingerprint: str) -> dict[str, Any]:
        """Versions, commit, command line, host and device of a run; empty where nothing is known."""
        return read_or_nothing(self.run_folder(fingerprint) / "provenance.json")

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """All that a run's fingerprint was made of; empty where nothing is known."""
        return read_or_nothing(self.run_folder(fingerprint) / "identity.json")

    def study(self, study: str) -> dict[str, Any]:
        """The study's file: its rows, each with its fingerprints; empty where there is none that can be read."""
        return read_or_nothing(self.study_folder(study) / "study.json")

    # writing

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        """Replace a JSON file atomically."""
        self.write_text(path, as_json(value))

    def write_study(self, study: str, value: Mapping[str, Any]) -> None:
        """Replace a study's file, for whoever holds `change_study`; returns when it is on the disk."""
        self.disk.replace(self.study_folder(study) / "study.json", as_json(value).encode(), durable=True)

    def write_text(self, path: Path, text: str) -> None:
        """Replace a text file atomically: a reader sees the old one or the new one, whole."""
        self.disk.replace(path, text.encode())

    def write_status(self, record: RunRecord, *, durable: bool = False) -> None:
        """Replace a run's status. ``durable``: wait until it is on the disk."""
        path = self.run_folder(record.fingerprint) / "status.json"
        self.disk.replace(path, as_json(record.to_status()).encode(), durable=durable)

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
        """Write tensors atomically and durably, to be read with ``torch.load(weights_only=True)``."""
        # torch's own writing to a file hides why the system refuses
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        self.disk.replace(self.run_folder(fingerprint) / name, buffer.getvalue(), durable=True)

    def cut_metrics(self, fingerprint: str, epoch: int) -> int:
        """Drop the metric lines after an epoch, and a line that a crash cut off. Returns the last epoch that is left, 0 for none."""
        path = self.run_folder(fingerprint) / "metrics.jsonl"
        if not path.exists():
            return 0
        size = last = 0
        for line, end in self._metric_lines(fingerprint):
            if line["epoch"] > epoch:
                break
            size, last = end, line["epoch"]
        if size != path.stat().st_size:
            self.disk.cut(path, size)
        return last

    def clear(self, fingerprint: str) -> None:
        """Remove what an earlier attempt at a run left behind; its lock and its log stay.

        The status goes first: a run whose clearing was cut short is not taken for a finished one.
        """
        folder = self.run_folder(fingerprint)
        there = list(folder.iterdir()) if folder.is_dir() else []
        for path in sorted(there, key=lambda path: (path.name != "status.json", path.name)):
            if path.name not in KEPT:
                self.disk.remove(path)

    def tidy(self, fingerprint: str) -> None:
        """Remove files that a crash left half-written beside those they were to replace. For whoever holds the run's lock."""
        for path in leftovers(self.run_folder(fingerprint)):
            self.disk.remove(path)

    # whose turn it is

    def claim(self, fingerprints: tuple[str, ...]) -> AbstractContextManager[bool]:
        """Be the one writer of some runs: of all, or of none (False) where another process has one of them."""
        return locks.all_or_none(self.disk, [self.lock_file(name) for name in fingerprints])

    def is_claimed(self, fingerprint: str) -> bool:
        """Whether some process is the writer of a run now."""
        return locks.is_held(self.lock_file(fingerprint))

    def change_study(self, study: str) -> AbstractContextManager[None]:
        """Be the one who reads and replaces a study's file; waits for the others."""
        return locks.held(self.disk, self.study_folder(study) / "study.lock")


def as_json(value: Mapping[str, Any]) -> str:
    """JSON for a file that people read too. Half a character, as in the name of a file that is not UTF-8, stands there as ``\\udce9``."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, None where there is no such file. Raises ValueError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"file (={path}) must hold a JSON object.")
    return value


def read_or_nothing(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is none that can be read: of what is written, only a run's last status is sure to survive a power cut."""
    try:
        return read_json(path) or {}
    except ValueError:
        return {}


def leftovers(folder: Path) -> list[Path]:
    """Half-written files in a folder: ``.status.json.123`` for a ``status.json``."""
    return [path for path in folder.glob(".*.*") if path.suffix[1:].isdigit() and path.is_file()]
