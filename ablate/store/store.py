"""The store: the folder of runs. All files in it are written here, with a `Disk`.

Layout of the folder (by default ``runs``)::

    store/<fingerprint>/settings.yaml      resolved settings, seed, fold
                        identity.json      everything that the fingerprint was computed from
                        provenance.json    versions, git commit, command line, host, device
                        metrics.jsonl      a line per epoch
                        status.json        replaced atomically
                        best.pt, last.pt   weights
                        checkpoint.pt      during training; checkpoint.old.pt: the previous one
                        log.txt            output of the job
                        lock               locked by the process that writes to the folder
    <study>/study.json                     variants → fingerprints
            recipe.yaml                    the recipe's text
            looks.jsonl                    a line per verdict that a table has shown
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from ablate.registry.lazy import torch
from ablate.store import locks
from ablate.store.disk import Disk
from ablate.store.provenance import Provenance
from ablate.store.records import RunRecord

KEPT = ("lock", "log.txt")
"""The files that stay in a run's folder when it is retrained."""

STUDY_FILES = ("study.json", "study.lock", "recipe.yaml", "looks.jsonl", "published.json", "published.lock")
"""The files of a study's folder."""

TAIL = 1 << 16
"""Number of bytes at the end of a run's metrics that contain at least one complete line."""


class Store:
    """Reads and writes the runs below one root folder."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()

    # where things are

    def run_folder(self, fingerprint: str) -> Path:
        """The folder of one run, which may not exist."""
        return self.root / "store" / fingerprint

    def study_folder(self, study: str) -> Path:
        """The folder of one study, which may not exist."""
        return self.root / study

    def lock_file(self, fingerprint: str) -> Path:
        """The lock file of a run's writer."""
        return self.run_folder(fingerprint) / "lock"

    def own(self) -> list[Path]:
        """What is written below the root, which may be a folder with other files."""
        studies = [path.parent for path in self.root.glob("*/study.json")]
        return [self.root / "store", *(folder / name for folder in studies for name in STUDY_FILES)]

    # reading

    def record(self, fingerprint: str, seed: int = 0, epochs: int = 0, fold: int | None = None) -> RunRecord:
        """The record of a run; a queued one with ``seed``, ``epochs`` and ``fold`` if there is none.

        A run with status running whose lock is not held was interrupted.
        """
        status = self._status(fingerprint)
        if status.get("status") == "running" and not locks.is_held(self.lock_file(fingerprint)):
            # it may have finished in the meantime
            status = self._status(fingerprint)
            if status.get("status") == "running":
                status |= {"status": "interrupted", "reason": "process no longer running"}
        return RunRecord.from_status(fingerprint, {"seed": seed, "epochs": epochs, "fold": fold, **status})

    def _status(self, fingerprint: str) -> dict[str, Any]:
        return read_or_nothing(self.run_folder(fingerprint) / "status.json")

    def metrics(self, fingerprint: str) -> Iterator[dict[str, Any]]:
        """The lines of a run's metrics, oldest first, up to a line that is incomplete after a crash."""
        for line, _ in self._metric_lines(fingerprint):
            yield line

    def last_epoch(self, fingerprint: str) -> dict[str, Any]:
        """The last line of a run's metrics, without reading the whole file; empty if there is none."""
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
        """Each complete line, with the position of its end in bytes."""
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

    def provenance(self, fingerprint: str) -> Provenance:
        """Versions, commit, command line, host and device of a run; all of them None if unknown."""
        return Provenance.from_json(read_or_nothing(self.run_folder(fingerprint) / "provenance.json"))

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """Everything that a run's fingerprint was computed from; empty if unknown."""
        return read_or_nothing(self.run_folder(fingerprint) / "identity.json")

    def study(self, study: str) -> dict[str, Any]:
        """The study's file: its variants with their fingerprints; empty if it does not exist or cannot be read."""
        return read_or_nothing(self.study_folder(study) / "study.json")

    def looks(self, study: str) -> list[dict[str, Any]]:
        """The verdicts that tables of a study have shown, oldest first, without lines that a crash left incomplete."""
        found = []
        try:
            lines = (self.study_folder(study) / "looks.jsonl").read_bytes().split(b"\n")
        except OSError:
            return []
        for line in filter(None, lines):
            try:
                found.append(dict(json.loads(line)))
            except ValueError:
                continue
        return found

    # writing

    def add_looks(self, study: str, looks: Iterable[Mapping[str, Any]]) -> None:
        """Append verdicts that a table shows for the first time."""
        lines = "".join(f"{json.dumps(one)}\n" for one in looks)
        with self.disk.append(self.study_folder(study) / "looks.jsonl") as file:
            # an earlier line may be incomplete
            self.disk.add(file, f"\n{lines}".encode())

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        """Replace a JSON file atomically."""
        self.write_text(path, as_json(value))

    def write_study(self, study: str, value: Mapping[str, Any]) -> None:
        """Replace a study's file, within `change_study`; returns when it is on the disk."""
        self.disk.replace(self.study_folder(study) / "study.json", as_json(value).encode(), durable=True)

    def write_text(self, path: Path, text: str) -> None:
        """Replace a text file atomically."""
        self.disk.replace(path, text.encode())

    def write_status(self, record: RunRecord, *, durable: bool = False) -> None:
        """Replace a run's status. ``durable``: wait until it is on the disk."""
        path = self.run_folder(record.fingerprint) / "status.json"
        self.disk.replace(path, as_json(record.to_status()).encode(), durable=durable)

    def write_provenance(self, fingerprint: str, provenance: Provenance) -> None:
        """Replace a run's provenance."""
        self.write_json(self.run_folder(fingerprint) / "provenance.json", provenance.to_json())

    def write_settings(self, fingerprint: str, settings: Mapping[str, Any]) -> None:
        """Write the settings of a run as readable YAML."""
        self.disk.replace(self.run_folder(fingerprint) / "settings.yaml", as_yaml(json.dumps(settings)))

    def append_to(self, fingerprint: str, name: str) -> BinaryIO:
        """Open a run's file for appending; creates its folder."""
        return self.disk.append(self.run_folder(fingerprint) / name)

    def append_line(self, file: BinaryIO, line: Mapping[str, Any]) -> None:
        """Append a line to metrics opened with `append_to`; it is not lost if the process is killed."""
        self.disk.add(file, (json.dumps(line, allow_nan=False) + "\n").encode())

    def save_tensors(self, fingerprint: str, name: str, state: Mapping[str, Any]) -> None:
        """Write tensors atomically and durably, for ``torch.load(weights_only=True)``."""
        # torch.save to a file hides the system's error
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        self.disk.replace(self.run_folder(fingerprint) / name, buffer.getvalue(), durable=True)

    def cut_metrics(self, fingerprint: str, epoch: int) -> int:
        """Remove the metric lines after an epoch, and an incomplete line. Returns the last epoch left, 0 for none."""
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
        """Remove the files of an earlier attempt at a run, except its lock and log.

        The status is removed first, so that a run does not count as finished if this is interrupted.
        """
        folder = self.run_folder(fingerprint)
        there = list(folder.iterdir()) if folder.is_dir() else []
        for path in sorted(there, key=lambda path: (path.name != "status.json", path.name)):
            if path.name not in KEPT:
                self.disk.remove(path)

    def tidy(self, fingerprint: str) -> None:
        """Remove incomplete files left by a crash. The caller must hold the run's lock."""
        for path in leftovers(self.run_folder(fingerprint)):
            self.disk.remove(path)

    # whose turn it is

    def claim(self, fingerprints: tuple[str, ...]) -> AbstractContextManager[bool]:
        """Become the only writer of all runs (True), or of none (False) if another process has one of them."""
        return locks.all_or_none(self.disk, [self.lock_file(name) for name in fingerprints])

    def is_claimed(self, fingerprint: str) -> bool:
        """Whether a process is the writer of a run."""
        return locks.is_held(self.lock_file(fingerprint))

    def change_study(self, study: str) -> AbstractContextManager[None]:
        """Lock a study's file for reading and replacing it; waits for other processes."""
        return locks.held(self.disk, self.study_folder(study) / "study.lock")


def as_json(value: Mapping[str, Any]) -> str:
    """Readable JSON. Lone surrogates, as in file names that are not UTF-8, are written as ``\\udce9``."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


@lru_cache(100)
def as_yaml(text: str) -> bytes:
    """Readable YAML of a JSON text; kept, because a dump takes 10 ms and attempts repeat it."""
    from ruamel.yaml import YAML

    buffer = io.BytesIO()
    YAML(typ="safe", pure=True).dump(json.loads(text), buffer)
    return buffer.getvalue()


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, None if the file does not exist. Raises ValueError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"file (={path}) must contain a JSON object.")
    return value


def read_or_nothing(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty if the file does not exist or cannot be read, as after a power failure."""
    try:
        return read_json(path) or {}
    except ValueError:
        return {}


def leftovers(folder: Path) -> list[Path]:
    """Incomplete files in a folder: ``.status.json.123`` for a ``status.json``."""
    return [path for path in folder.glob(".*.*") if path.suffix[1:].isdigit() and path.is_file()]
