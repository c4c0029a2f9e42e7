"""The folder of runs: the truth about what was trained. All writing to it happens in this module.

Layout below the root (``runs`` unless told otherwise)::

    store/<fingerprint>/settings.yaml      resolved settings, seed, fold
                        provenance.json    versions, git commit, command line, host, device
                        metrics.jsonl      a line an epoch
                        status.json        replaced atomically
                        best.pt, last.pt   weights
                        log.txt            what the job printed
    <study>/study.json                     rows → fingerprints
            recipe.yaml                    the recipe as it was read
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from ablate.registry.lazy import torch
from ablate.study.records import RunRecord


class Store:
    """Reads and writes the runs below one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)

    def write_status(self, fingerprint: str, status: Mapping[str, Any]) -> None:
        """Replace a run's status."""
        self.write_json(self.run_folder(fingerprint) / "status.json", status)

    def write_settings(self, fingerprint: str, settings: Mapping[str, Any]) -> None:
        """Write what a run was trained with, as YAML that a person can read."""
        from ruamel.yaml import YAML

        folder = self.run_folder(fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".settings.yaml.{os.getpid()}"
        with beside.open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(dict(settings), file)
        os.replace(beside, folder / "settings.yaml")

    def append_to(self, fingerprint: str, name: str) -> TextIO:
        """A run's file, open for appending; its folder is made."""
        folder = self.run_folder(fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / name).open("a", encoding="utf-8")

    def append_line(self, file: TextIO, line: Mapping[str, Any]) -> None:
        """Add a line to metrics opened with `append_to`, and hand it to the system at once."""
        file.write(json.dumps(line, allow_nan=False) + "\n")
        file.flush()

    def save_tensors(self, fingerprint: str, name: str, state: Mapping[str, Any]) -> None:
        """Write tensors atomically, to be read with ``torch.load(weights_only=True)``."""
        folder = self.run_folder(fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{name}.{os.getpid()}"
        torch.save(dict(state), beside)
        os.replace(beside, folder / name)

    def clear(self, fingerprint: str) -> None:
        """Remove what an earlier attempt at a run left behind; its lock stays."""
        folder = self.run_folder(fingerprint)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, None where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    assert isinstance(value, dict)
    return value
