"""The provenance of a run: versions, commit, command line, host and device. Not part of its identity."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ablate.addresses import safe_words
from ablate.engine.contract import Facts
from ablate.registry.lazy import torch
from ablate.version import __version__

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What of a run's provenance can change its results: versions, the device (the name of a GPU), and the numbers of
    samples of the splits. Each is None if it is unknown.
    """

    torch: str | None = None
    device: str | None = None
    python: str | None = None
    ablate: str | None = None
    train: int | None = None
    valid: int | None = None
    test: int | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a run comes from. Each field is None if it is unknown, such as the commit of a folder without git."""

    command: Sequence[str] | None = None
    host: str | None = None
    platform: str | None = None
    python: str | None = None
    ablate: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    torch: str | None = None
    device: str | None = None
    threads: int | None = None
    pid: int | None = None
    device_name: str | None = None
    cuda: str | None = None
    facts: Facts = field(default_factory=Facts)

    def of_process(self, device: str, facts: Facts) -> Provenance:
        """The same with what is only known in a job's process, which may be on another machine: its host, Python and
        torch, device, threads and the facts of its training.
        """
        on_cuda = device.startswith("cuda")
        return replace(
            self,
            host=socket.gethostname(),
            platform=platform.platform(),
            python=platform.python_version(),
            torch=torch.__version__,
            device=device,
            threads=torch.get_num_threads(),
            pid=os.getpid(),
            device_name=torch.cuda.get_device_name(device) if on_cuda else None,
            cuda=torch.version.cuda if on_cuda else None,
            facts=facts,
        )

    @property
    def origin(self) -> Origin:
        """What of it can change results."""
        counts = {split: self.facts.data.get(split) for split in SPLITS}
        samples = {split: count for split, count in counts.items() if isinstance(count, int)}
        device = self.device_name or self.device
        return Origin(torch=self.torch, device=device, python=self.python, ablate=self.ablate, **samples)

    def to_json(self) -> dict[str, object]:
        """What is known, in plain JSON values."""
        known = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        del known["facts"]
        return known if self.facts == Facts() else {**known, "facts": self.facts.to_json()}


def of_command(folder: Path, own: Iterable[Path] = ()) -> Provenance:
    """The provenance shared by all runs of a command: command line, host, Python, git state of the recipe's folder.

    ``own``: files and folders that ablate writes, which do not make a repository dirty.
    """
    commit, top = git(folder, "rev-parse", "HEAD"), git(folder, "rev-parse", "--show-toplevel")
    status = None if top is None else git(folder, "status", "--porcelain", "--", ":(top)", *_without(own, Path(top)))
    known = commit is not None and status is not None
    return Provenance(
        command=[Path(sys.argv[0]).name, *safe_words(sys.argv[1:])],
        host=socket.gethostname(),
        platform=platform.platform(),
        python=platform.python_version(),
        ablate=__version__,
        git_commit=commit if known else None,
        git_dirty=bool(status) if known else None,
    )


QUIET = ("-c", "core.fsmonitor=false")
"""A repository may be a stranger's: its settings start no program."""


def _without(paths: Iterable[Path], top: Path) -> list[str]:
    """The words that leave paths out of a git command, for those in the repository at ``top``."""
    real = (Path(os.path.realpath(path)) for path in paths)
    inside = [path.relative_to(top).as_posix() for path in real if top in path.parents]
    return [f":(top,exclude,literal){path}" for path in inside]


def git(folder: Path, *words: str) -> str | None:
    """The output of a git command in ``folder``; None if it fails, as in a folder that is in no repository."""
    try:
        quietly = ["git", *QUIET, *words]
        done = subprocess.run(quietly, cwd=folder, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
