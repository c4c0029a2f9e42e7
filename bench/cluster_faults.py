"""Random kills of studies on this machine, on a real Slurm and on a real Ray: the numbers stay those of an undisturbed
study, and nothing is left over. Run with ``python -m bench.cluster_faults [KILLS [EXECUTOR …]]``; needs root, for Slurm's
daemons.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench.measure import machine
from tests.clusters.slurm import SlurmCluster, missing
from tests.clusters.test_slurm import NETWORK, RECIPE

EXECUTORS = ("local", "slurm", "ray")

ROUND = 400.0
"""Seconds after which a round that is not disturbed any more has failed."""

Trained = dict[str, object]


class Round:
    """One study that is disturbed until ``kills`` kills have been made or it is complete. ``said`` has its output."""

    def __init__(self, folder: Path, executor: str, slurm: SlurmCluster) -> None:
        self.folder, self.executor, self.slurm = folder, executor, slurm
        self.mark = f"ABLATE_ROUND={folder.name}"
        folder.mkdir()
        (folder / "network.py").write_text(NETWORK)
        (folder / "study.yaml").write_text(RECIPE)
        self.said = folder / "said.txt"
        self.kills: list[str] = []

    def start(self, pause: float) -> subprocess.Popen[bytes]:
        """Start the command, or attach it again."""
        words = ["run", "study.yaml", "--no-mlflow", "--executor", self.executor, "--retries", "50"]
        name, _, value = self.mark.partition("=")
        environment = {**self.slurm.environment, name: value, "PAUSE": str(pause)}
        with self.said.open("ab") as file:
            command = [sys.executable, "-P", "-m", "ablate", *words]
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=file, stderr=file)

    def run(self, kills: int, dice: random.Random) -> None:
        """Run the study to its end, with so many kills at most."""
        command = self.start(0.05)
        until = time.monotonic() + ROUND
        while True:
            with suppress(subprocess.TimeoutExpired):
                if command.wait(dice.uniform(2.0, 6.0)) == 0:
                    return
                command = self.start(0.05 if len(self.kills) < kills else 0.0)
                continue
            if time.monotonic() > until:
                command.kill()
                raise RuntimeError(f"not complete after {ROUND:g} s")
            if len(self.kills) < kills:
                self.kill(command, dice)

    def kill(self, command: subprocess.Popen[bytes], dice: random.Random) -> None:
        """Kill something that works for the study."""
        target = dice.choice(["command", "job", "node", "another process"])
        there = self.processes()
        jobs = [pid for pid in self.writers() if pid in there]
        workers = [pid for pid in there if pid not in (command.pid, *jobs)]
        if target == "command":
            command.kill()
        elif target == "node" and self.executor == "slurm":
            node = dice.choice(["n1", "n2", "n3"])
            self.slurm.kill_node(node)
            self.slurm.start_node(node)
        elif target == "job" and jobs:
            os.kill(dice.choice(jobs), signal.SIGKILL)
        elif workers:
            target = "another process"
            with suppress(ProcessLookupError):
                os.kill(dice.choice(workers), signal.SIGKILL)
        else:
            return
        self.kills.append(f"{self.executor}: {target}")

    def writers(self) -> Iterator[int]:
        """The processes that train runs."""
        for path in (self.folder / "runs" / "store").glob("*/lock.*"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                owner = json.loads(path.read_text())
                if not owner["queued"]:
                    yield owner["pid"]

    def processes(self) -> list[int]:
        """All processes that were started for this study."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):
                    if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found

    def trained(self) -> Trained:
        """Weights and numbers of all runs, without times."""
        found: Trained = {}
        for path in sorted((self.folder / "runs" / "store").glob("*/status.json")):
            status = json.loads(path.read_text())
            lines = [json.loads(line) for line in path.with_name("metrics.jsonl").read_text().splitlines()]
            curves = [{key: value for key, value in line.items() if key not in ("time", "seconds")} for line in lines]
            weights = path.with_name("last.pt")
            found[path.parent.name] = (
                *(status[key] for key in ("status", "results", "reason")),
                curves,
                weights.read_bytes() if weights.exists() else None,
            )
        return found

    def left_over(self) -> Iterator[str]:
        """Processes, jobs and files that should be gone."""
        if not waited(lambda: not self.processes()):
            yield f"processes {self.processes()}"
        if not waited(lambda: not self.slurm.jobs()):
            yield "jobs " + self.slurm.run("squeue", "-h", "-o", "%A %T %r %j")
        words = [sys.executable, "-P", "-m", "ablate", "clean"]
        subprocess.run(words, cwd=self.folder, capture_output=True, check=True)
        store = self.folder / "runs" / "store"
        yield from (str(path) for path in (*store.glob("*/checkpoint*"), *store.glob(".*"), *store.glob("*/.*")))


def waited(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for something; False if it has not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def main(kills: int, executors: Sequence[str] = EXECUTORS) -> int:
    """Print what was killed and what went wrong; returns how many rounds were wrong."""
    if reason := missing():
        print(f"Slurm cannot run here: {reason}")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="kills"))
    slurm = SlurmCluster(folder / "slurm", 26700)
    made: list[str] = []
    wrong = rounds = 0
    try:
        reference = Round(folder / "reference", "local", slurm)
        reference.run(0, random.Random(0))
        expected = reference.trained()
        while len(made) < kills:
            dice = random.Random(rounds)
            one = Round(folder / f"round{rounds}", executors[rounds % len(executors)], slurm)
            rounds += 1
            faults = []
            try:
                one.run(min(8, kills - len(made)), dice)
            except RuntimeError as error:
                faults.append(str(error))
            made += one.kills
            if one.trained() != expected:
                differ = [name for name, value in expected.items() if one.trained().get(name) != value]
                faults.append(f"{len(differ)} of {len(expected)} runs differ")
            faults += one.left_over()
            wrong += bool(faults)
            print(
                f"round {rounds}, {one.executor}: {len(one.kills)} kills, {'; '.join(faults) or 'all well'}", flush=True
            )
            if faults:
                print(f"  {one.kills}\n{one.said.read_text()[-3000:]}", flush=True)
    finally:
        slurm.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("\n| Killed | times |\n|:--|--:|")
    for name, count in sorted(Counter(made).items()):
        print(f"| {name} | {count} |")
    print(f"\n{len(made)} kills in {rounds} studies, {wrong} of them wrong. {machine()}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(int([*sys.argv, "50"][1]), sys.argv[2:] or EXECUTORS) > 0)
