"""How long the commands take that should feel instant: whole processes, medians of seven. Run with ``python -m
bench.start``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import machine

ROOT = Path(__file__).parents[1]
RECIPE = "recipes/digits.yaml"

COMMANDS = {
    "ablate --help": ["--help"],
    "ablate plan --quick": ["plan", RECIPE, "--quick"],
    "ablate table": ["table", RECIPE],
    "ablate diff": ["diff", RECIPE, "net1", "net2"],
    "ablate catalog": ["catalog"],
    "ablate schema": ["schema", "-o", "-"],
}


def seconds(words: list[str], runs: int = 7) -> float:
    """Median wall seconds of a command, after one warm-up."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ablate", *words], cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> str:
    lines = [
        "## Commands that should feel instant",
        "",
        f"{machine()}. Whole processes, medians of seven.",
        "",
        "| command | seconds |",
        "|:--|--:|",
    ]
    with tempfile.TemporaryDirectory() as runs:
        for name, words in COMMANDS.items():
            flags = ["--runs", runs] if words[0] in ("plan", "table") else []
            lines.append(f"| `{name}` | {seconds([*words, *flags]):.2f} |")
    bare = statistics.median(_timed([sys.executable, "-c", "pass"]) for _ in range(7))
    return "\n".join([*lines, f"| `python -c pass`, for scale | {bare:.2f} |"]) + "\n"


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(main())
