"""The store: the folder of runs. All files in it are written here, with a `Disk`.

Layout of the folder (by default ``runs``)::

    store/<fingerprint>/settings.yaml      resolved settings, seed, fold
                        identity.json      everything that the fingerprint was computed from
                        provenance.json    versions, git commit, command line, host, device
                        metrics.jsonl      a line per epoch
                        status.json        replaced atomically
                        best.pt, last.pt   weights
                        examples.npz       losses and metrics of single validation samples (`store.examples`)
                        checkpoint.pt      during training; checkpoint.old.pt: the previous one
                        log.txt            output of the job
                        lock.1             names the process that writes to the folder (`store.locks`)
    .jobs/<job>/events.jsonl               what a job on a cluster reports; removed when it has ended
                output.txt                 what it prints besides its runs' logs
    <study>/study.json                     variants → fingerprints
            recipe.yaml                    the recipe's text
            looks.jsonl                    a line per verdict that a table has shown
            prior.jsonl                    per compared metric, the comparisons of earlier studies that verdicts use
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from ablate.addresses import safe_words
from ablate.registry.lazy import torch
from ablate.store import locks
from ablate.store.checked import Identity, Kind, Look, Prior, StudyFile, checked, decoded, metric_line
from ablate.store.descriptors import LinkError
from ablate.store.disk import Disk, ignore
from ablate.store.locks import Claim
from ablate.store.owners import Owner
from ablate.store.provenance import Provenance
from ablate.store.records import RunRecord

KEPT = re.compile(r"lock\.\d+|log\.txt")
"""The files that stay in a run's folder when it is retrained."""

OF_STUDY = re.compile(r"study\.json|recipe\.yaml|looks\.jsonl|prior\.jsonl|study\.lock\.\d+")
"""The files that show that a study has been run in a folder."""

PUBLISHED = re.compile(r"published\.json|published\.lock\.\d+")
"""The other files of a study's folder."""

TAIL = 1 << 16
"""Number of bytes at the end of a run's metrics that contain at least one complete line."""


class Store:
    """Reads and writes the runs below one root folder."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()
        self.disk.root = root

    # where things are

    def run_folder(self, fingerprint: str) -> Path:
        """The folder of one run, which may not exist."""
        return self.root / "store" / fingerprint

    def work_folder(self, fingerprint: str) -> Path:
        """The folder for files of the user's own training of a run; created if it does not exist."""
        folder = self.run_folder(fingerprint) / "work"
        self.disk.make_folder(folder)
        return folder

    def job_folder(self, job: str) -> Path:
        """The folder of a job on a cluster: its events and its output."""
        return self.root / ".jobs" / job

    def study_folder(self, study: str) -> Path:
        """The folder of one study, which may not exist."""
        return self.root / study

    def study_file(self, study: str) -> Path:
        """The file with a study's variants."""
        return self.study_folder(study) / "study.json"

    def lock_file(self, fingerprint: str) -> Path:
        """The lock file of a run's writer."""
        return self.run_folder(fingerprint) / "lock"

    def own(self) -> list[Path]:
        """What is written below the root, which may be a folder with other files."""
        files = [self.study_folder(study) / name for study in self.studies() for name in self._names(study)]
        ours = [path for path in files if OF_STUDY.fullmatch(path.name) or PUBLISHED.fullmatch(path.name)]
        return [self.root / "store", self.root / ".jobs", *ours]

    # reading

    def record(self, fingerprint: str, seed: int = 0, epochs: int = 0, fold: int | None = None) -> RunRecord:
        """The record of a run; a queued one with ``seed``, ``epochs`` and ``fold`` if there is none.

        A run with status running whose lock is not held was interrupted.
        """
        [record] = self.records([(fingerprint, seed, epochs, fold)])
        return record

    def records(self, runs: Sequence[tuple[str, int, int, int | None]]) -> list[RunRecord]:
        """The `record` of each of these runs: of each fingerprint, seed, epochs and fold."""
        found = []
        folder, names = self.root / "store", (run[0] for run in runs)
        for run, contents in zip(runs, self.disk.read_each(folder, names, "status.json"), strict=True):
            record = self._record(run, contents)
            if record.status == "running" and not self.is_claimed(record.fingerprint):
                # it may have finished in the meantime
                record = self._record(run, self.disk.read(folder / record.fingerprint / "status.json"))
                if record.status == "running":
                    record = replace(record, status="interrupted", reason="process no longer running")
            found.append(record)
        return found

    def _record(self, run: tuple[str, int, int, int | None], contents: bytes | None) -> RunRecord:
        """A run's record from the contents of its status file."""
        fingerprint, seed, epochs, fold = run
        if contents is not None:
            try:
                status = decoded(contents)
                if not isinstance(status, dict):
                    raise ValueError("must be a mapping")
                return RunRecord.from_status(fingerprint, {"seed": seed, "epochs": epochs, "fold": fold, **status})
            except ValueError as error:
                ignore_damaged(self.run_folder(fingerprint) / "status.json", error)
        return RunRecord(fingerprint, seed, epochs=epochs, fold=fold)

    def metrics(self, fingerprint: str) -> Iterator[dict[str, Any]]:
        """The lines of a run's metrics, oldest first, up to a line that is incomplete after a crash."""
        for line, _ in self._metric_lines(fingerprint):
            yield line

    def last_epoch(self, fingerprint: str) -> dict[str, Any]:
        """The last line of a run's metrics, without reading the whole file; empty if there is none."""
        file = self.disk.open(self.run_folder(fingerprint) / "metrics.jsonl")
        if file is None:
            return {}
        with file:
            file.seek(max(file.seek(0, io.SEEK_END) - TAIL, 0))
            lines = file.read().split(b"\n")
        for text in reversed(lines[:-1]):
            with suppress(ValueError):
                return metric_line(text, after=0)
        return {}

    def _metric_lines(self, fingerprint: str) -> Iterator[tuple[dict[str, Any], int]]:
        """Each complete line, with the position of its end in bytes."""
        path = self.run_folder(fingerprint) / "metrics.jsonl"
        if (file := self.disk.open(path)) is None:
            return
        size = last = 0
        with file:
            for text in file:
                if not text.endswith(b"\n"):
                    return
                try:
                    line = metric_line(text, last)
                except ValueError as error:
                    ignore(f"the part of file (={path}) after epoch {last} is damaged ({error})")
                    return
                size, last = size + len(text), line["epoch"]
                yield line, size

    def provenance(self, fingerprint: str) -> Provenance:
        """Versions, commit, command line, host and device of a run; all of them None if unknown."""
        return next(self.provenances([fingerprint]))

    def provenances(self, fingerprints: Sequence[str]) -> Iterator[Provenance]:
        """The `provenance` of each of these runs."""
        folder = self.root / "store"
        for name, contents in zip(
            fingerprints, self.disk.read_each(folder, fingerprints, "provenance.json"), strict=True
        ):
            try:
                found = Provenance() if contents is None else checked(Provenance, decoded(contents))
            except ValueError as error:
                ignore_damaged(folder / name / "provenance.json", error)
                found = Provenance()
            # versions before 0.2.0 stored credentials
            yield found if found.command is None else replace(found, command=safe_words(found.command))

    def identity(self, fingerprint: str) -> Identity:
        """Everything that a run's fingerprint was computed from; empty if unknown."""
        return self.read(self.run_folder(fingerprint) / "identity.json", Identity) or {}

    def log(self, fingerprint: str) -> str | None:
        """The output of a job, None if there is none."""
        contents = self.disk.read(self.run_folder(fingerprint) / "log.txt")
        return None if contents is None else contents.decode(errors="replace")

    def study(self, study: str) -> StudyFile:
        """The study's file: its variants with their fingerprints; without any if it cannot be read."""
        return self.read(self.study_file(study), StudyFile) or {"rows": []}

    def studies(self) -> list[str]:
        """The names of all folders below the root that can be those of studies, also of damaged ones."""
        return [name for name in self.disk.names(self.root) if name != "store" and self._is_study(name)]

    def whole_study(self, study: str) -> StudyFile:
        """The study's file. Raises ValueError if it cannot be read as a whole."""
        path = self.study_file(study)
        try:
            kind = self.disk.kind(path)
            if kind != "file":
                raise ValueError(f"is a {kind}" if kind else "does not exist")
            return checked(StudyFile, decoded(self.disk.read(path) or b""))
        except LinkError:
            raise
        except (ValueError, OSError) as error:
            what = error.strerror if isinstance(error, OSError) else error
            raise ValueError(
                f"study (={path}) cannot be read ({what}), so its runs cannot be determined. Make the file readable, "
                "or rerun its recipe to recreate it."
            ) from None

    def _is_study(self, name: str) -> bool:
        if self.disk.kind(self.root / name) == "symbolic link":
            return True
        if self.disk.kind(self.root / name) != "folder":
            return False
        try:
            return any(map(OF_STUDY.fullmatch, self.disk.names(self.root / name)))
        except OSError:
            return True

    def _names(self, study: str) -> list[str]:
        with suppress(OSError):
            return self.disk.names(self.study_folder(study))
        return []

    def looks(self, study: str) -> list[Look]:
        """The verdicts that tables of a study have shown, oldest first, without lines that a crash left incomplete."""
        return self._lines(self.study_folder(study) / "looks.jsonl", Look)

    def priors(self, study: str) -> list[Prior]:
        """The comparisons of earlier studies that the verdicts of a study use, for each metric."""
        return self._lines(self.study_folder(study) / "prior.jsonl", Prior)

    def _lines(self, path: Path, kind: type[Kind]) -> list[Kind]:
        found = []
        for line in filter(None, (self.disk.read(path) or b"").split(b"\n")):
            try:
                value = decoded(line)
            except ValueError:
                continue
            try:
                found.append(checked(kind, value))
            except ValueError as error:
                ignore(f"a line of file (={path}) is damaged ({error})")
        return found

    def read(self, path: Path, kind: type[Kind]) -> Kind | None:
        """A JSON file as a type; None if it does not exist. Warns if it is damaged, as after a power failure."""
        contents = self.disk.read(path)
        try:
            return None if contents is None else checked(kind, decoded(contents))
        except ValueError as error:
            ignore_damaged(path, error)
            return None

    # writing

    def add_looks(self, study: str, looks: Iterable[Mapping[str, Any]]) -> None:
        """Append verdicts that a table shows for the first time."""
        self._add_lines(self.study_folder(study) / "looks.jsonl", looks)

    def add_prior(self, study: str, prior: Mapping[str, Any]) -> None:
        """Append the comparisons of earlier studies that verdicts on a metric use from now on."""
        self._add_lines(self.study_folder(study) / "prior.jsonl", [prior])

    def _add_lines(self, path: Path, values: Iterable[Mapping[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(one)}\n" for one in values)
        with self.disk.append(path) as file:
            # an earlier line may be incomplete
            self.disk.add(file, f"\n{lines}".encode())

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        """Replace a JSON file atomically."""
        self.write_text(path, as_json(value))

    def write_study(self, study: str, value: StudyFile) -> None:
        """Replace a study's file, within `change_study`; returns when it is on the disk."""
        self.disk.replace(self.study_file(study), as_json(value).encode(), durable=True)

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

    def write_metrics(self, fingerprint: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines of a run's metrics; returns when they are on the disk."""
        contents = "".join(f"{json.dumps(line, allow_nan=False)}\n" for line in lines)
        self.disk.replace(self.run_folder(fingerprint) / "metrics.jsonl", contents.encode(), durable=True)

    def save_tensors(self, fingerprint: str, name: str, state: Mapping[str, Any]) -> None:
        """Write tensors atomically and durably, for ``torch.load(weights_only=True)``."""
        # torch.save to a file hides the system's error
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        self.disk.replace(self.run_folder(fingerprint) / name, buffer.getvalue(), durable=True)

    def cut_metrics(self, fingerprint: str, epoch: int) -> int:
        """Remove the metric lines after an epoch, and an incomplete line. Returns the last epoch left, 0 for none."""
        path = self.run_folder(fingerprint) / "metrics.jsonl"
        if self.disk.kind(path) != "file":
            return 0
        size = last = 0
        for line, end in self._metric_lines(fingerprint):
            if line["epoch"] > epoch:
                break
            size, last = end, line["epoch"]
        if size != self.disk.size(path):
            self.disk.cut(path, size)
        return last

    def clear(self, fingerprint: str) -> None:
        """Remove the files of an earlier attempt at a run, except its lock and log.

        The status is removed first, so that a run does not count as finished if this is interrupted.
        """
        folder = self.run_folder(fingerprint)
        for name in sorted(self.disk.names(folder), key=lambda name: name != "status.json"):
            if not KEPT.fullmatch(name):
                self.disk.remove(folder / name)

    def tidy(self, fingerprint: str) -> None:
        """Remove incomplete files left by a crash. The caller must hold the run's lock."""
        for path in self.leftovers(fingerprint):
            self.disk.remove(path)

    def leftovers(self, fingerprint: str) -> list[Path]:
        """Incomplete files in a run's folder: ``.status.json.123`` for a ``status.json``."""
        folder = self.run_folder(fingerprint)
        return [folder / name for name in self.disk.names(folder) if is_leftover(name)]

    # whose turn it is

    @contextmanager
    def claim(self, fingerprints: Sequence[str], job: str = "") -> Iterator[Claim | None]:
        """Become the only writer of all runs, or of none (None) if another process has one of them. What a process does
        that only seemed to have ended no longer reaches the runs. ``job``: as in `locks.take`.
        """
        paths = [self.lock_file(name) for name in fingerprints]
        for path in paths:
            locks.recover(self.disk, path.parent)
        with ExitStack() as stack:
            held = stack.enter_context(locks.all_or_none(self.disk, paths, job))
            for i, lock in enumerate(held):
                if lock.expired:
                    held[i] = locks.moved(lock)
                    stack.callback(held[i].close)
                stack.enter_context(self.disk.pinned(lock.path.parent))
            yield Claim(tuple(held)) if held else None

    def is_claimed(self, fingerprint: str) -> bool:
        """Whether a process is the writer of a run."""
        return locks.is_held(self.disk, self.lock_file(fingerprint))

    def queue(self, fingerprints: Sequence[str], job: str) -> bool:
        """Claim all runs for a job that begins later, or none (False) if another process or job has one of them."""
        with locks.all_or_none(self.disk, [self.lock_file(name) for name in fingerprints]) as held:
            for lock in held:
                locks.queue(lock, job)
        return bool(held)

    def owner(self, fingerprint: str) -> Owner | None:
        """Who has claimed a run, or had when it was last alive."""
        return locks.owner(self.disk, self.lock_file(fingerprint))

    def release(self, fingerprint: str, job: str) -> None:
        """Give back a run that was claimed for a job that will not begin."""
        locks.release(self.disk, self.lock_file(fingerprint), job)

    def beat(self, fingerprints: Iterable[str], pid: int) -> None:
        """Show other machines that the process that writes to these runs is alive."""
        for name in fingerprints:
            locks.beat(self.disk, self.lock_file(name), pid)

    def observed(self, fingerprints: Iterable[str]) -> dict[Path, tuple[object, float]]:
        """What this process has seen of the owners of these runs, for another process of this machine."""
        folders = set(map(self.run_folder, fingerprints))
        return {path: seen for path, seen in self.disk.observed.items() if path.parent in folders}

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


def ignore_damaged(path: Path, error: ValueError) -> None:
    """Warn that a file counts as missing."""
    ignore(f"file (={path}) is damaged ({error})")


def is_leftover(name: str) -> bool:
    """Whether a name is that of an incomplete file: ``.status.json.123`` for a ``status.json``."""
    return re.fullmatch(r"\..+\.\d+", name) is not None
