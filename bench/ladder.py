"""The digits ladder with five seeds, as a study trains it, against the ways that a user has: a plain `DataLoader` loop,
skorch, Lightning.

Every way is a program of its own, all in turn in each round; run with ``python -m bench.ladder [scale] [rounds]``.
skorch and Lightning are left out where they are not installed (``pip install 'ablate-runner[bench]'``).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.measure import machine

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "digits.yaml"
Groups = Mapping[str, list[str]]

GROUPS: Groups = {"mlp": ["net1"], "conv": ["net2", "net3", "net4", "net5", "net6", "net7"]}
SEEDS = [0, 1, 2, 3, 4]
RIVALS = {"plain": "DataLoader loop", "with_skorch": "skorch", "with_lightning": "Lightning"}
GOALS = {"plain": {"mlp": 4, "conv": 2, "all": 3}, "with_skorch": {"all": 5}, "with_lightning": {"all": 5}}


def compete(way: str, ask: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Run a way as a program. Returns what it says, and the most memory that it and its processes took together, in MB."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", f"bench.rivals.{way}", json.dumps(ask)]
    program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    most, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, memory(program.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = program.communicate()
    done.set()
    watcher.join()
    if program.returncode:
        raise RuntimeError(f"{way} ended with code {program.returncode}; what it said is above")
    return json.loads(said.splitlines()[-1]), most


def memory(process: int) -> float:
    """MB of a process and all that it started, pages that several share counted once (Linux; 0 elsewhere)."""
    total = 0.0
    with suppress(OSError, ProcessLookupError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) / 1000
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            total += sum(memory(int(child)) for child in children.read_text().split())
    return total


def seconds_of(way: str, said: Mapping[str, Any], groups: Groups) -> dict[str, float]:
    """Seconds for each group of rows, and for ``all`` of them together."""
    seconds = said["seconds"]
    if way == "ours":
        return {name: seconds[" ".join(rows)] for name, rows in together(groups).items()}
    found = {name: sum(seconds[row] for row in rows) for name, rows in groups.items()}
    return {**found, "all": sum(found.values())}


def together(groups: Groups) -> Groups:
    """The groups, and all their rows as one more where there are several."""
    return {**groups, "all": [row for rows in groups.values() for row in rows]}


def distance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How far the means of two rows' losses lie apart, in standard errors of their difference (Welch)."""
    spread = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
    return abs(statistics.mean(ours) - statistics.mean(theirs)) / max(spread, 1e-12)


def measure(
    scale: float, rounds: int, groups: Groups = GROUPS, rivals: Sequence[str] = tuple(RIVALS)
) -> tuple[list[str], list[str]]:
    """All ways in turn, ``rounds`` times. Returns the lines of a table, and how our jobs were made."""
    rows = together(groups)["all"]
    ways = ["ours", *(way for way in rivals if way == "plain" or find_spec(way.removeprefix("with_")))]
    ask = {"recipe": str(RECIPE), "rows": rows, "seeds": SEEDS, "scale": scale}
    times: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    losses: dict[str, dict[str, list[float]]] = {}
    most = dict.fromkeys(ways, 0.0)
    stacks: list[str] = []
    for i in range(rounds):
        for way in ways[i % len(ways) :] + ways[: i % len(ways)]:
            said, peak = compete(way, {**ask, "groups": list(together(groups).values())} if way == "ours" else ask)
            times[way].append(seconds_of(way, said, groups))
            losses[way], most[way] = said["losses"], max(most[way], peak)
            stacks = said.get("stacks", [stacks])[-1]
    names = list(together(groups))
    lines = [
        f"| way | {' | '.join(f'{name}, s' for name in names)} | {' | '.join(f'{name} / ours' for name in names)} | peak memory, MB | losses apart |",
        f"|:--|{'--:|' * (2 * len(names) + 2)}",
    ]
    for way in ways:
        cells = [f"{statistics.median(t[name] for t in times[way]):.1f}" for name in names]
        goals = GOALS.get(way, {})
        for name in names:
            ratio = statistics.median(b[name] / a[name] for a, b in zip(times["ours"], times[way], strict=True))
            goal = f" (goal {goals[name]})" if name in goals and len(names) > 2 else ""
            cells.append(f"{ratio:.1f}{goal}" if way != "ours" else "1")
        apart = max(distance(losses["ours"][row], losses[way][row]) for row in rows)
        cells += [f"{most[way]:.0f}", f"{apart:.1f} se" if way != "ours" else ""]
        lines.append(f"| {RIVALS.get(way, 'ablate')} | {' | '.join(cells)} |")
    return lines, stacks


def main(scale: float = 0.5, rounds: int = 2) -> str:
    """The section of RESULTS.md."""
    table, stacks = measure(scale, rounds)
    long, _ = measure(20 * scale, rounds, {"mlp": GROUPS["mlp"]}, ["plain"])
    return (
        "\n".join(
            [
                "## The digits ladder, five seeds, against the ways that a user has",
                "",
                f"{machine()}, {os.cpu_count()} threads for the others. `recipes/digits.yaml` × {len(SEEDS)} seeds, epochs × {scale:g}; {rounds} rounds,",
                "all ways in turn, medians. Ours as `ablate run` trains it, everything recorded in the store, no MLflow; the others one run",
                "after another, with their defaults, recording nothing (Lightning: its own checkpoints and CSV). Imports are not timed. Same",
                "data, networks and initial values; augmentation is theirs to do sample by sample, as torchvision does. *mlp*: net1; *conv*:",
                "net2 to net7; *all*: ours as one study of all rows, timed by itself, whose jobs share the cores; theirs the sum. *Losses",
                "apart*: of the row whose mean valid losses differ most, in standard errors of the difference.",
                "",
                f"Our jobs, with their seeds: {', '.join(stacks)}.",
                "",
                *table,
                "",
                f"The mlp row alone with epochs × {20 * scale:g}, where the 0.2 s that a job takes to begin and to end no longer count:",
                "",
                *long,
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    print(main(*(kind(word) for kind, word in zip((float, int), sys.argv[1:], strict=False))))  # type: ignore[arg-type]
