"""A user's own network and data: the whole command against the scripts that a user would write instead.

All are whole processes with start-up; ours is ``ablate run`` with an empty store. The scripts have two threads and
train the seeds one after another (`bench/own_study`). Ways take turns. ``python -m bench.own`` takes about half an
hour on two cores; ``python -m bench.own convnet idle`` measures only these (`SECTIONS`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from ablate.planning.helper_process import cores
from bench.measure import machine, ratio

ROOT = Path(__file__).parents[1]

Way = Callable[[], float]
"""Does the work once and returns what is compared."""

AGAINST = ["| work | ours, s | against | theirs, s | ours / theirs | goal |", "|:--|--:|:--|--:|--:|--:|"]


def run(folder: Path, *arguments: str) -> tuple[float, str]:
    """Run Python in a folder. Returns its seconds and its output. Raises RuntimeError with its messages if it fails."""
    began = time.perf_counter()
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=paths, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return time.perf_counter() - began, done.stdout


def script(folder: Path, name: str, module: str, seeds: int, epochs: int) -> float:
    """The seconds of one of the user's scripts."""
    return run(folder, name, module, str(seeds), str(epochs))[0]


def command(folder: Path, recipe: str, *flags: str, of: Callable[[float, Path], float] = lambda took, _: took) -> float:
    """``ablate run`` with an empty store. Returns its seconds, or what ``of`` makes of them and of the store."""
    with tempfile.TemporaryDirectory() as runs:
        took, _ = run(folder, "-m", "ablate", "run", f"{recipe}.yaml", *flags, "--runs", runs, "--no-mlflow")
        return of(took, Path(runs) / "store")


def in_turn(ways: Sequence[Way], rounds: int) -> list[list[float]]:
    """What each way returned in every round; each round begins with the next one."""
    found: list[list[float]] = [[] for _ in ways]
    for first in range(rounds):
        for i in range(len(ways)):
            place = (first + i) % len(ways)
            found[place].append(ways[place]())
    return found


def row(work: str, mine: Sequence[float], name: str, theirs: Sequence[float], goal: float, digits: int = 1) -> str:
    """A line of `AGAINST`."""
    ours, other = (f"{statistics.median(each):.{digits}f}" for each in (mine, theirs))
    found = f"{ratio(mine, theirs):.2f}"
    found = f"**{found}**" if float(found) > goal else found
    return f"| {work} | {ours} | {name} | {other} | {found} | ≤ {goal:.2f} |"


def study(folder: Path, module: str, seeds: int, epochs: int, rounds: int, goals: dict[str, float]) -> list[str]:
    """Rows of one study against scripts (file → goal)."""
    work = f"{module}, {seeds} seeds × {epochs} epochs"
    ours = partial(command, folder, module, "--seeds", str(seeds), "--set", f"epochs={epochs}")
    there = [name for name in goals if name != "with_skorch.py" or find_spec("skorch")]
    mine, *others = in_turn([ours, *(partial(script, folder, name, module, seeds, epochs) for name in there)], rounds)
    rows = [row(work, mine, name, theirs, goals[name]) for name, theirs in zip(there, others, strict=True)]
    return rows + [f"| {work} | | {name} | not installed | | ≤ {goals[name]:.2f} |" for name in goals.keys() - there]


def convnet(folder: Path, rounds: int) -> list[str]:
    """A convnet with batch norm."""
    short = study(folder, "convnet", 3, 6, rounds, {"loop.py": 1.0})
    return [*AGAINST, *short, *study(folder, "convnet", 5, 12, rounds, {"loop.py": 0.85}), *epoch(folder, rounds)]


def epoch(folder: Path, rounds: int, epochs: int = 8) -> list[str]:
    """One seed in one job with two threads: seconds from the end of the first epoch to that of the last, per epoch."""

    def ours(_: float, store: Path) -> float:
        (metrics,) = store.glob("*/metrics.jsonl")
        times = [json.loads(line)["time"] for line in metrics.read_text().splitlines()]
        return float(times[-1] - times[0]) / (epochs - 1)

    def theirs() -> float:
        lines = run(folder, "loop.py", "convnet", "1", str(epochs))[1].splitlines()
        return (float(lines[-1].split()[-1]) - float(lines[0].split()[-1])) / (epochs - 1)

    alone = ("--seeds", "1", "--jobs", "1", "--threads", "2", "--set", f"epochs={epochs}")
    mine, plain = in_turn([partial(command, folder, "convnet", *alone, of=ours), theirs], rounds)
    return [row("convnet, one epoch of one seed, 2 threads each", mine, "loop.py", plain, 1.03, digits=2)]


def mlp(folder: Path, rounds: int) -> list[str]:
    """An MLP of 784-128-128-10 on 8,000 samples, in batches of 64."""
    return [*AGAINST, *study(folder, "mlp", 5, 100, rounds, {"loop.py": 0.5, "with_skorch.py": 0.45})]


def digits(folder: Path, rounds: int) -> list[str]:
    """A small MLP on scikit-learn's digits, in batches of 64."""
    return [*AGAINST, *study(folder, "digits", 10, 200, rounds, {"loop.py": 0.25})]


def data(folder: Path, rounds: int) -> list[str]:
    """Four variants × three seeds whose data function waits for 5 s, against one that does not wait."""
    ways = [partial(command, folder, "slow_data", "--set", f"data.wait={wait}") for wait in (0, 5)]
    at_once, waiting = in_turn(ways, rounds)
    more = statistics.median(b - a for a, b in zip(at_once, waiting, strict=True))
    return [
        "| no wait, s | a wait of 5 s, s | seconds more | goal |",
        "|--:|--:|--:|--:|",
        f"| {statistics.median(at_once):.1f} | {statistics.median(waiting):.1f} | {more:.1f} | ≤ 6 |",
    ]


def idle(folder: Path, rounds: int) -> list[str]:
    """Equal jobs of the convnet (one seed each, three epochs): the share of the cores' time that no job occupies.

    A job occupies as many cores as it has threads, from its start to its end as the store records them, whatever its
    threads do in that time. The time of the cores is theirs from the start of the first job to the end of the last.
    """
    counts = (3, 5, 7)
    flags = [("--seeds", str(count), "--set", "epochs=3", "--set", "stack=off") for count in counts]
    shares = in_turn([partial(command, folder, "convnet", *each, of=idle_share) for each in flags], rounds)
    lines = ["| equal jobs | idle core time | goal |", "|--:|--:|--:|"]
    return lines + [
        f"| {count} | {statistics.median(each):.0%} | < 15% |" for count, each in zip(counts, shares, strict=True)
    ]


def idle_share(_: float, store: Path) -> float:
    """The share of idle core time of a study (see `idle`)."""
    jobs: dict[int, tuple[float, float, int]] = {}
    for status in store.glob("*/status.json"):
        told = json.loads(status.read_text())  # the runs of a job have its process
        jobs[told["pid"]] = (told["started"], told["finished"], told["threads"])
    moments = sorted({moment for begin, end, _ in jobs.values() for moment in (begin, end)})
    busy = 0.0
    for before, after in pairwise(moments):
        threads = sum(count for begin, end, count in jobs.values() if begin <= before and after <= end)
        busy += min(threads, cores()) * (after - before)
    return 1 - busy / (cores() * (moments[-1] - moments[0]))


SECTIONS: dict[str, Callable[[Path, int], list[str]]] = {
    made.__name__: made for made in (convnet, mlp, digits, data, idle)
}


def main(names: Sequence[str] = (), rounds: int = 3) -> str:
    """The section of RESULTS.md, or some of its parts."""
    lines = [
        "## A user's own network and data against scripts",
        "",
        f"{machine()}. Whole commands with start-up, {rounds} rounds in turn, medians (`python -m bench.own`). The "
        "scripts (`bench/own_study`) have two threads. Below 1.00 means that ours is faster; in bold: the "
        "goal is missed.",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(shutil.copytree(ROOT / "bench" / "own_study", Path(temporary) / "study"))
        for name in names or SECTIONS:
            part = SECTIONS[name]
            title, _, more = (part.__doc__ or "").strip().partition("\n")
            began = time.perf_counter()
            rows = part(folder, rounds)
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            lines += ["", f"**{title}** {' '.join(more.split())}".strip(), "", *rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure a user's own network and data against scripts.")
    parser.add_argument("names", nargs="*", help=f"only these of {', '.join(SECTIONS)}")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in SECTIONS]:
        parser.error(f"name (={unknown[0]}) must be one of {', '.join(SECTIONS)}.")
    print(main(asked.names, asked.rounds))
