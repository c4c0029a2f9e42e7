"""Random faults in a study with every feature: whatever is killed or stopped, the same command completes it, and nothing
is lost, trained again, published twice or left over. Run with ``python -m bench.faults --minutes 30 --seed 0``.

A round is a study in a new folder. Signals hit its processes at random moments, and the command is given again whenever
it has ended. Then the round is compared with a study that nothing disturbed, bit for bit. Needs ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ablate.store import checkpoints
from bench.measure import machine

STUDY = """
study: faults
data: {name: npz, path: data.npz}
folds: 2
seeds: 2
metrics: [accuracy]
baseline:
  name: plain
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.05}
  add: [{dropout: 0.1}]
  batch_size: 16
  epochs: 120
  stack: 2
  checkpoint: {every: 5 epochs}
variants:
  - {name: ema, from: plain, add: [{ema: {decay: 0.9}}]}
  - {name: plateau, from: plain, add: [{plateau: {patience: 5}}]}
  - {name: stops, from: plateau, add: [{early_stop: {patience: 20}}], set: {select: best}}
  - {name: tuned, from: plain, add: [{from_weights: plateau}]}
  - {name: both, from: plain, joined: [plain, ema]}
"""

WORDS = ("run", "--jobs", "2", "--retries", "1000", "--format", "json")

KINDS = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGHUP": (signal.SIGHUP,),
    "stop, continue": (signal.SIGSTOP, signal.SIGCONT),
    "stop, SIGKILL": (signal.SIGSTOP, signal.SIGKILL),
}
TARGETS = ("command", "all at once", "fork server", "job", "publisher")

PATIENCE = 300.0
"""Seconds after which something that must come has not come."""

MARK = "ABLATE_BENCH_FAULTS"
"""The variable by which all processes of a round are found."""

ENDS = (0, 130, *(-number for numbers in KINDS.values() for number in numbers))
"""Exit codes of a command that was disturbed, or had completed before."""

GIVEN_UP = "The server that runs the jobs ended 3 times"
"""How a command ends whose server is killed before any job comes further."""

RESULTS = ("status", "seed", "fold", "epoch", "epochs", "best_epoch", "selected_epoch", "results", "first_loss")
ALSO = ("stack", "threads", "parameters", "steps", "notes")
"""What a run's status must have in common with the undisturbed one's."""

Facts = dict[str, object]


@dataclass
class Round:
    """A study in a folder, its command if one runs, and what went wrong."""

    folder: Path
    draw: random.Random
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    command: subprocess.Popen[bytes] | None = None
    finished: dict[str, bytes] = field(default_factory=dict)
    struck: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "study.yaml").write_text(STUDY, encoding="utf-8")
        draw = np.random.default_rng(0)
        inputs = draw.normal(size=(120, 6)).astype(np.float32)
        noisy = inputs[:, 0] + inputs[:, 1] + 0.3 * draw.normal(size=120)
        np.savez(self.folder / "data.npz", inputs=inputs, targets=(noisy > 0).astype(np.int64))

    # the command

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """`ablate` in the round's folder, with what it says in a file."""
        environment = {**os.environ, MARK: self.mark, "TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(self.folder / "cache")  # torch keeps it
        environment.pop("MLFLOW_TRACKING_URI", None)
        self.said.touch()
        with (self.folder / "out").open("ab") as out, self.said.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "ablate", *words],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said,
                start_new_session=True,
            )

    @property
    def said(self) -> Path:
        """The file with what the command says on stderr."""
        return self.folder / "err"

    def has_ended(self) -> bool:
        """Whether the command has ended; says if it ended as it should not."""
        if self.command is None:
            return True
        if (code := self.command.poll()) is None:
            return False
        said = self.said.read_text(errors="replace")
        if code not in ENDS and not (code == 2 and GIVEN_UP in said):
            self.wrong.append(f"the command ended with exit code {code}: {said[-1500:]}")
        elif "Traceback" in said and "KeyboardInterrupt" not in said:
            self.wrong.append(f"the command showed a traceback: {said[-1500:]}")
        self.command = None
        return True

    def complete(self) -> None:
        """The command once more, undisturbed."""
        if not waited(self.has_ended):
            self.wrong.append("the command did not end")
            self.end_all()
        last = self.start(*WORDS, "study.yaml")
        if not waited(lambda: last.poll() is not None):
            last.kill()
        if last.wait() != 0:
            self.wrong.append(f"the last command ended with {last.returncode}: {self.said.read_text()[-1500:]}")
        if not waited(lambda: not self.processes()):
            names = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in self.processes()]
            self.wrong.append(f"processes are left over: {names}")
            self.end_all()

    def end_all(self) -> None:
        """Kill the processes of this round."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # faults

    def processes(self) -> dict[int, str]:
        """The processes of this round: by number, what each is."""
        return dict(self._processes())

    def _processes(self) -> Iterator[tuple[int, str]]:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                pid = int(folder.name)
                if f"{MARK}={self.mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                if (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                    continue
                words = (folder / "cmdline").read_bytes()
                if self.command is not None and pid == self.command.pid:
                    yield pid, "command"
                elif b"forkserver" in words:
                    yield pid, "fork server" if os.getsid(pid) == pid else "job"
                else:
                    yield pid, "publisher" if b"publisher_process" in words else "helper"

    def there(self, target: str) -> list[int]:
        """The processes that a fault may hit."""
        return [pid for pid, name in self.processes().items() if target in (name, "all at once")]

    def ended_or_there(self, target: str) -> bool:
        """Whether there is no reason to wait for a process."""
        return self.has_ended() or bool(self.there(target))

    def strike(self, kind: str, target: str) -> bool:
        """Send signals to one of the processes, or all; False if it is not there."""
        there = self.there(target)
        if not there:
            return False
        chosen = there if target == "all at once" else [self.draw.choice(there)]
        for i, number in enumerate(KINDS[kind]):
            if i:
                time.sleep(self.draw.uniform(0.1, 1.5))
            for pid in chosen:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.struck.append((kind, target))
        return True

    def disturb(self, faults: int, deck: list[tuple[str, str]]) -> None:
        """The command again and again, with so many faults; fewer if it completes before. The next one is drawn from a
        deck of all faults, and comes at a random moment once its target is there.
        """
        while len(self.struck) < faults and not self.wrong:
            if self.has_ended():
                if self.complete_already():
                    return
                self.command = self.start(*WORDS, "study.yaml")
                if self.draw.random() < 0.8:  # otherwise at once
                    waited(lambda: self.has_ended() or "job" in self.processes().values())
            if not deck:
                deck += self.draw.sample([(kind, target) for kind in KINDS for target in TARGETS], 30)
            kind, target = deck[-1]
            waited(partial(self.ended_or_there, target), 10.0)
            time.sleep(self.draw.expovariate(1.0))
            deck.pop()
            if not self.strike(kind, target):
                deck.insert(0, (kind, target))
            self.look()

    def complete_already(self) -> bool:
        """Whether all runs have finished."""
        return len(self.finished) == 24

    def look(self) -> None:
        """Runs that had finished must be as they were."""
        for path in (self.folder / "runs" / "store").glob("*/status.json"):
            with suppress(FileNotFoundError):
                text = path.read_bytes()
                if json.loads(text)["status"] == "finished":
                    self.finished.setdefault(path.parent.name, text)
        for name, text in self.finished.items():
            path = self.folder / "runs" / "store" / name / "status.json"
            if not path.exists() or path.read_bytes() != text:
                self.wrong.append(f"finished run {name} was touched")

    # what there is in the end

    def trained(self) -> Facts:
        """All numbers and weights by run, without times, and without checkpoints, which `left_over` sees."""
        found: Facts = {}
        for folder in sorted((self.folder / "runs" / "store").iterdir()):
            status = json.loads((folder / "status.json").read_bytes())
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
            curves = [{key: value for key, value in line.items() if key not in ("time", "seconds")} for line in lines]
            weights = {
                path.name: path.read_bytes() for path in folder.glob("*.pt") if path.name not in checkpoints.NAMES
            }
            found[folder.name] = ([status.get(key) for key in (*RESULTS, *ALSO)], curves, weights)
        return found

    def published(self) -> Facts:
        """All runs and points in MLflow's database."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as database:

            def ask(query: str) -> list[tuple[object, ...]]:
                return database.execute(query).fetchall()

            active = "runs using (run_uuid) where lifecycle_stage = 'active'"
            names = ask(
                f"select value, name, status from tags join {active} and key = 'ablate.kind' order by value, name"
            )
            points = ask(
                "select params.value, metrics.key, step, case when metrics.key = 'seconds' then 0 else metrics.value end "
                f"from metrics join params using (run_uuid) join {active} and params.key = 'fingerprint' order by 1, 2, 3"
            )
        return {"runs": names, "points": points}

    def left_over(self) -> list[str]:
        """Temporary files and checkpoints, once `ablate clean` has run."""
        if self.start("clean").wait() != 0:
            self.wrong.append(f"clean: {self.said.read_text()[-500:]}")
        hidden = [path for path in self.folder.rglob(".*") if path.is_file()]
        there = [*hidden, *self.folder.rglob("checkpoint*"), *(self.folder / "tmp").iterdir()]
        return sorted(str(path.relative_to(self.folder)) for path in there)


def waited(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait for something; False if it has not come within ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def compare(one: Round, reference: tuple[Facts, Facts]) -> None:
    """Whether a completed round has what the undisturbed one has, and nothing more."""
    one.look()
    for what, mine, other in zip(("run", "MLflow's"), (one.trained(), one.published()), reference, strict=True):
        for key in sorted(mine.keys() | other.keys()):
            if mine.get(key) != other.get(key):
                one.wrong.append(f"{what} {key} differs: {difference(mine.get(key), other.get(key))}")
    if left := one.left_over():
        one.wrong.append(f"files are left over: {', '.join(left)}")


def difference(mine: object, other: object) -> str:
    """The first part of two lists that differs."""
    if isinstance(mine, list | tuple) and isinstance(other, list | tuple):
        pairs = [(a, b) for a, b in zip(mine, other, strict=False) if a != b]
        if pairs:
            return difference(*pairs[0])
        return f"{len(mine)} instead of {len(other)}: {str([one for one in mine if one not in other][:3])[:300]}"
    return f"{str(mine)[:300]} instead of {str(other)[:300]}"


def undisturbed(folder: Path) -> tuple[Facts, Facts]:
    """What the study comes to if nothing disturbs it."""
    one = Round(folder, random.Random(0))
    one.complete()
    if one.wrong:
        raise RuntimeError("\n".join(one.wrong))
    return one.trained(), one.published()


def campaign(folder: Path, seed: int, end: float, faults: int) -> list[Round]:
    """Rounds of so many faults each, at least one, until ``end`` (monotonic seconds)."""
    reference, rounds = undisturbed(folder / "undisturbed"), list[Round]()
    deck: list[tuple[str, str]] = []
    while not rounds or time.monotonic() < end:
        one = Round(folder / f"round{len(rounds)}", random.Random(f"{seed} {len(rounds)}"))
        rounds.append(one)
        try:
            one.disturb(faults, deck)
            if not one.struck:
                one.wrong.append("no process was there to disturb")
            one.complete()
            compare(one, reference)
        finally:
            one.end_all()
        print(
            f"round {len(rounds)}: {len(one.struck)} faults, {'; '.join(one.wrong) or 'all as it should be'}",
            flush=True,
        )
    return rounds


def table(rounds: list[Round]) -> str:
    """How many faults of each kind there were, and how many of them in rounds that went wrong."""
    counts = Counter(fault for one in rounds for fault in one.struck)
    bad = Counter(fault for one in rounds if one.wrong for fault in one.struck)
    lines = [f"| Fault | {' | '.join(TARGETS)} |", "|:--|" + "--:|" * len(TARGETS)]
    for kind in KINDS:
        cells = [
            f"{counts[kind, name]}" + (f" ({bad[kind, name]} wrong)" if bad[kind, name] else "") for name in TARGETS
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    wrong = sum(bool(one.wrong) for one in rounds)
    return "\n".join([*lines, "", f"{counts.total()} faults in {len(rounds)} studies, {wrong} of them wrong."])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long rounds are begun")
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults")
    parser.add_argument("--faults", type=int, default=20, help="faults of a round")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    folder = Path(tempfile.mkdtemp(prefix="ablate-faults-"))
    rounds = campaign(folder, given.seed, end, given.faults)
    print(f"\n{table(rounds)}\n\n{machine()}")
    wrong = [one for one in rounds if one.wrong]
    for one in wrong:
        print(f"\n{one.folder}: {one.struck}", *one.wrong, sep="\n")
    if not wrong:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
