"""What all tests share: the command line as users call it, a report that listens, the real faces beside the project,
and caches of their own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported. Tests train tiny networks on all cores at once: more threads only wait for each other, at five times the CPU time.
os.environ["OMP_NUM_THREADS"] = "1"

FACES = Path(__file__).parents[2] / "shared" / "data" / "faces96.npz"


@pytest.fixture(scope="session", autouse=True)
def heard_signals() -> None:
    """Commands of the tests hear Ctrl-C and a closed terminal, however the tests were started: in the background, or under nohup, both are ignored."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep parsed data of all tests in one folder per session, away from the user's."""
    os.environ["ABLATE_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "ablate-cache")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Global generators start alike for each test: what passes once passes always, in any order and on any worker."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def faces() -> Path:
    """The real faces; skips where they are not there, unless ABLATE_REQUIRE_SHARED says that they must be."""
    if FACES.exists():
        return FACES
    if os.environ.get("ABLATE_REQUIRE_SHARED"):
        pytest.fail(f"the real faces are not there: {FACES.name} is missing in the shared folder beside the project")
    pytest.skip("needs the real faces in the shared folder beside the project")


class Heard:
    """A report of a training that keeps what it hears, by replica: each epoch's line, the weights that are kept, how it
    ended; asks for no checkpoints.
    """

    def __init__(self) -> None:
        self.facts: Mapping[str, Any] = {}
        self.lines: dict[int, list[dict[str, Any]]] = {}
        self.kept: dict[tuple[int, str], dict[str, Any]] = {}
        self.outcomes: dict[int, Any] = {}

    def started(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        self.lines.setdefault(replica, []).append(dict(line))

    def due(self, epoch: int) -> bool:
        return False

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        raise AssertionError("nobody asked for a checkpoint")

    def weights(self, replica: int, which: str, state: Mapping[str, Any]) -> None:
        self.kept[replica, which] = {name: value.clone() for name, value in state.items()}

    def ended(self, replica: int, outcome: Any) -> None:
        self.outcomes[replica] = outcome


@pytest.fixture
def heard() -> type[Heard]:
    """Makes reports that keep what they hear."""
    return Heard


class Done:
    """A finished command."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self) -> dict[str, Any]:
        return {row["variant"]: row for row in self.json()["rows"]}


@pytest.fixture
def ablate(tmp_path: Path) -> Callable[..., Done]:
    """Run a command in a folder of its own, without MLflow unless told otherwise."""

    def run(*words: object, **variables: str) -> Done:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        command = [sys.executable, "-m", "ablate", *map(str, words)]
        if words[0] == "run" and "--tracking-uri" not in words:
            command.append("--no-mlflow")
        return Done(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False))

    return run
