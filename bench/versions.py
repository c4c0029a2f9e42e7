"""One epoch, training and validation: the loop of an earlier commit against this one, in pairs.

Two processes, one with each version on its path, take turns with the same recipes. Make a worktree of the commit first:
``git worktree add FOLDER COMMIT``, then ``python -m bench.versions FOLDER [ROUNDS]``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.measure import machine, ratio

ROOT = Path(__file__).parents[1]

WORK = {
    "digits net1": ("digits.yaml", [], "net1", (0,), 20),
    "digits net2": ("digits.yaml", [], "net2", (0,), 6),
    "digits net1, 5 seeds stacked": ("digits.yaml", ["stack=5"], "net1", (0, 1, 2, 3, 4), 6),
    "facial-keypoints net1": ("facial_keypoints.yaml", ["data.size=32", "data.limit=800"], "net1", (0,), 20),
    "facial-keypoints net2": ("facial_keypoints.yaml", ["data.size=32", "data.limit=800"], "net2", (0,), 1),
}
"""Name → recipe, changed settings, variant, seeds, epochs that are timed together."""


def worker() -> None:
    """Answer each name on stdin with the CPU seconds of its epochs. Only uses what both versions have."""
    import time

    import torch

    import ablate
    from ablate.data.load import load_parts
    from ablate.engine.assembly import assemble
    from ablate.engine.contract import Assignment
    from ablate.engine.training import train_epoch, validate
    from ablate.recipe import Recipe

    torch.set_num_threads(1)
    print(Path(ablate.__file__).parents[1], flush=True)
    made = {}
    for line in sys.stdin:
        file, sets, variant, seeds, epochs = WORK[name := line.strip()]
        if name not in made:
            recipe = Recipe.load(ROOT / "recipes" / file, sets=list(sets))
            settings = recipe.variant(variant).settings
            data = load_parts(settings.data, recipe.folder)
            made[name] = assemble(Assignment(settings, seeds, recipe.folder), data)
        began = time.process_time()
        for epoch in range(1, epochs + 1):
            train_epoch(made[name], epoch).tolist()
            {key: value.tolist() for key, value in validate(made[name]).items()}
        print((time.process_time() - began) / epochs, flush=True)


def start(folder: Path) -> subprocess.Popen[str]:
    """A worker with the version in a folder. Raises RuntimeError if it imports another one."""
    command = [sys.executable, str(Path(__file__)), "--worker"]
    paths = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths, cwd=folder)
    assert made.stdout is not None
    if (found := made.stdout.readline().strip()) != str(folder):
        raise RuntimeError(f"the worker imports ablate from {found}, not from {folder}")
    return made


def seconds(of: subprocess.Popen[str], name: str) -> float:
    """The CPU seconds of one epoch: other processes disturb them less than wall time."""
    assert of.stdin is not None
    assert of.stdout is not None
    of.stdin.write(f"{name}\n")
    of.stdin.flush()
    return float(of.stdout.readline())


def main(before: Path, rounds: int = 20) -> str:
    """The section of RESULTS.md."""
    commit = subprocess.check_output(["git", "-C", str(before), "rev-parse", "--short", "HEAD"], text=True).strip()
    old, new = start(before), start(ROOT)
    lines = [
        "## One epoch of this loop against an earlier one",
        "",
        f"{machine()}. Commit {commit} against this one: CPU time of one thread, {rounds} pairs in turn, medians; above 1.00 means "
        "that this one is faster (goal: at least 0.97).",
        "",
        "| work | before, ms | now, ms | before / now | smallest and largest ratio of the middle half |",
        "|:--|--:|--:|--:|--:|",
    ]
    for name in WORK:
        pairs: list[tuple[float, float]] = []
        for number in range(rounds + 1):
            first, second = (old, new) if number % 2 else (new, old)
            one, other = seconds(first, name), seconds(second, name)
            pairs.append((one, other) if number % 2 else (other, one))
        before_all, now_all = zip(*pairs[1:], strict=True)  # the first is a warm-up
        quarter = statistics.quantiles([a / b for a, b in pairs[1:]], n=4)
        ms = [1000 * statistics.median(each) for each in (before_all, now_all)]
        lines.append(
            f"| {name} | {ms[0]:.1f} | {ms[1]:.1f} | {ratio(before_all, now_all):.3f} | {quarter[0]:.3f}, {quarter[2]:.3f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    for one in (old, new):
        assert one.stdin is not None
        one.stdin.close()
        one.wait()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        worker()
    else:
        print(main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:])))
