"""What a process does before the jobs of a study, forked as they are: it loads a dataset once for all of them, runs the
quick checks on it, and finds out whether the seeds of custom networks stack.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import IO, Any

from ablate.data.shared import key_of
from ablate.execution.events import Answered, Listener, Loading
from ablate.planning.networks import Network
from ablate.planning.preflight import Examined
from ablate.recipe import Settings
from ablate.recipe.folds import Folds
from ablate.registry.lazy import torch
from ablate.store.checked import checked

PATIENCE = 5.0
"""Seconds that a process may take in addition to loading, and one more for each question; then training begins without
the rest.
"""

CHUNK = 3000
"""Characters of an answer in one event: a pipe does not mix short ones from several processes."""

PRINTED = 2**16
"""Bytes that are kept of what loading printed, the last ones."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What one process prepares, for one dataset: that of ``settings``.

    ``shares``: load it whole, and share it if possible. ``questions`` are the arguments of
    `ablate.planning.preflight.examine` by number, ``networks`` the settings whose networks are to be described.
    ``loaded`` is the dict of these questions. ``threads``: CPU threads while loading, as in jobs. ``jobs``: the number
    of jobs that begin at once afterwards; their processes import the data function's module meanwhile.
    """

    settings: Settings
    folder: Path
    folds: Folds | None
    shares: bool
    questions: Mapping[int, tuple[Any, ...]]
    networks: Mapping[int, Settings]
    loaded: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    jobs: int = 0

    @property
    def key(self) -> str:
        """The dataset."""
        double = self.settings.precision == "float64"
        return key_of(self.settings.data, self.folder, double=double, form=self.settings.batch)

    @property
    def patience(self) -> float:
        """Seconds that it may take in addition to loading."""
        return PATIENCE + len(self.questions) + len(self.networks)


class Patience:
    """How long a process may go on: ``loading`` seconds in all while it loads, ``other`` seconds otherwise."""

    def __init__(self, other: float, loading: float) -> None:
        self.left = {True: loading, False: other}
        self.loading = False
        self.since = inf

    def begin(self) -> None:
        """The process has begun; it may have said more before."""
        if self.since == inf:
            self.since = time.monotonic()

    def turn(self, *, loading: bool) -> None:
        """The process begins to load, or to do something else."""
        now = time.monotonic()
        self.left[self.loading] -= max(now - self.since, 0.0)
        self.loading, self.since = loading, now

    @property
    def until(self) -> float:
        """When it is over, by the monotonic clock."""
        return self.since + self.left[self.loading]


def prepare(task: Preparation, number: int, tell: Listener) -> None:
    """The body of the process, whose ``number`` is in its events.

    What user code prints while it loads goes to those who use the data, and is lost otherwise. What it raises, the jobs
    will raise, too.
    """
    from ablate.planning.networks import describe
    from ablate.planning.preflight import examine

    null = os.open(os.devnull, os.O_WRONLY)
    redirect(null)
    torch.set_num_threads(task.threads)
    if task.shares:
        tell(Loading(job=number, begun=True))
        try:
            load(task, null)
        except (Exception, SystemExit):
            return
        tell(Loading(job=number, begun=False))
    answer: Examined | Network
    for question, arguments in task.questions.items():
        try:
            answer = examine(*arguments)
        except (Exception, SystemExit):
            answer = Examined()
        send(number, question, pickle.dumps(answer), tell)
    for question, settings in task.networks.items():
        try:
            answer = describe(settings, task.folder, task.folds, task.loaded)
        except (Exception, SystemExit):
            continue
        send(number, question, json.dumps(answer.to_json()).encode(), tell)


def load(task: Preparation, null: int) -> None:
    """Load the dataset and share it, or keep it for the questions. Raises what user code raises."""
    from ablate.data.load import load_whole
    from ablate.data.shared import keep, share

    double = task.settings.precision == "float64"
    with tempfile.TemporaryFile() as printed:
        with redirected(printed, null):
            parts, alone = load_whole(
                task.settings.data, task.folder, task.folds, double=double, form=task.settings.batch
            )
        printed.seek(max(printed.tell() - PRINTED, 0))
        if parts is not None and not (alone and share(task.key, parts, printed.read())):
            keep(task.key, parts)


@contextmanager
def redirected(file: IO[bytes], after: int) -> Iterator[None]:
    """Inside, what this process prints goes to a file; afterwards, to the descriptor ``after``."""
    redirect(file.fileno())
    try:
        yield
    finally:
        redirect(after)
        file.seek(0, os.SEEK_END)


def redirect(to: int) -> None:
    """Let what this process prints go to this descriptor."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for standard in (1, 2):
        os.dup2(to, standard)


def send(number: int, question: int, answer: bytes, tell: Listener) -> None:
    """Send an answer in short events."""
    text = base64.b64encode(answer).decode()
    for start in range(0, len(text), CHUNK):
        last = start + CHUNK >= len(text)
        tell(Answered(job=number, number=question, answer=text[start : start + CHUNK], last=last))


class Answers:
    """The answers that have come, by number: what the quick checks found, and facts about networks."""

    def __init__(self, tasks: Sequence[Preparation]) -> None:
        self.examined: dict[int, Examined] = {}
        self.networks: dict[int, Network] = {}
        self._described = {number for task in tasks for number in task.networks}
        self._parts: dict[int, list[str]] = {}

    def take(self, event: Answered) -> None:
        """Take a part of an answer. Raises ValueError for facts that have wrong types."""
        self._parts.setdefault(event.number, []).append(event.answer)
        if not event.last:
            return
        data = base64.b64decode("".join(self._parts.pop(event.number)))
        if event.number in self._described:
            self.networks[event.number] = checked(dict[str, Network], {"": json.loads(data)})[""]
        else:
            self.examined[event.number] = pickle.loads(data)
