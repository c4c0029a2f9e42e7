"""Two machines that share a folder, with clocks an hour apart: as real processes that take themselves for two machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters.test_slurm import NETWORK, RECIPE

pytestmark = pytest.mark.slow

DISGUISE = """
import os, time

name = os.environ["MACHINE"]
true_time = time.time
time.time = lambda: true_time() + float(os.environ["AHEAD"])

from ablate import machine
from ablate.machine import Machine

machine.this_machine = lambda: Machine(name, f"id of {name}", f"boot of {name}", "")
import socket
socket.gethostname = lambda: name
"""

FLAGS = ("--no-mlflow", "--format", "json", "--only", "base,wide", "--jobs", "1")


class Machines:
    """Starts commands on machines by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "network.py").write_text(NETWORK)
        (folder / "study.yaml").write_text(RECIPE)
        (folder / "disguise").mkdir()
        (folder / "disguise" / "sitecustomize.py").write_text(DISGUISE)

    def start(self, machine: str, ahead: float, pause: float) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            **{"MACHINE": machine, "AHEAD": str(ahead), "PAUSE": str(pause)},
            "PYTHONPATH": str(self.folder / "disguise"),
        }
        command = [sys.executable, "-P", "-m", "ablate", "run", "study.yaml", *FLAGS]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True, **streams)

    def statuses(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in (self.folder / "runs" / "store").glob("*/status.json")]

    def starts(self) -> list[int]:
        logs = (self.folder / "runs" / "store").glob("*/log.txt")
        return [path.read_text().count(": started (") for path in logs]

    def resumes(self) -> int:
        logs = (self.folder / "runs" / "store").glob("*/log.txt")
        return sum(path.read_text().count(": resumed after") for path in logs)


def rows_of(process: subprocess.Popen[str]) -> dict[str, float]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return {row["variant"]: row["valid_loss"] for row in json.loads(out)["rows"]}


def processes_of(machine: str) -> list[int]:
    """All processes of a machine, by their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if f"MACHINE={machine}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def test_two_commands_share_a_study_and_each_run_is_trained_once(tmp_path):
    machines = Machines(tmp_path)
    first, second = machines.start("left", 0.0, 0.03), machines.start("right", 3600.0, 0.03)
    assert rows_of(first) == rows_of(second)
    assert machines.starts() == [1] * 6
    assert machines.resumes() == 0
    assert {status["host"] for status in machines.statuses()} == {"left", "right"}


def test_the_runs_of_a_machine_that_dies_are_taken_over(tmp_path):
    """After the documented time, as tests/store/test_locks.py checks by a clock of its own."""
    machines = Machines(tmp_path)
    lost = machines.start("lost", 3600.0, 0.4)
    until = time.monotonic() + 120
    while not any(path.read_text().count("\n") >= 3 for path in tmp_path.glob("runs/store/*/metrics.jsonl")):
        assert time.monotonic() < until
        time.sleep(0.1)
    for pid in processes_of("lost"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lost.communicate()
    rows = rows_of(machines.start("next", 0.0, 0.0))
    assert set(rows) == {"base", "wide"}
    assert machines.starts() == [1] * 6
    assert machines.resumes() == 1
