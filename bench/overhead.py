"""What `ablate` adds to the user's own training: a function against the same function called in a bare loop, and a
script against the same script started by hand. Run with ``python -m bench.overhead``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from ablate.execution.events import RunEnded
from ablate.execution.jobs import Job, make_jobs
from ablate.execution.scheduler import Scheduler
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.store.provenance import Provenance
from ablate.store.store import Store
from bench.measure import machine

TRAIN = """
import torch

def main(run, lr=0.1):
    generator = torch.Generator().manual_seed(run.seed)
    x, weight = torch.randn(512, 64, generator=generator), torch.zeros(64, requires_grad=True)
    for epoch in range(1, run.epochs + 1):
        for _ in range(20):
            loss = ((x @ weight - 1) ** 2).mean()
            [gradient] = torch.autograd.grad(loss, weight)
            weight.data -= lr * gradient
        run.log(epoch=epoch, train_loss=loss.item(), valid_loss=weight.abs().sum().item())
        run.checkpoint({"weight": weight.data})
"""

SCRIPT = """
import sys
total = 0.0
for epoch in range(1, int(sys.argv[2]) + 1):
    total += sum(i * 1e-9 for i in range(200_000))
    print("epoch", epoch, "loss", total + int(sys.argv[1]), flush=True)
"""

RECIPES = {
    "function": 'trainer: {target: "own_overhead:main"}',
    "script": "trainer: {command: [PYTHON, script.py, '{seed}', '{epochs}'], "
    "read: {regex: {epoch: 'epoch (.+) loss', valid_loss: 'loss (.+)'}}}",
}


class Bare:
    """The run of a bare loop: nothing is recorded."""

    def __init__(self, seed: int, epochs: int) -> None:
        self.seed, self.epochs = seed, epochs

    def log(self, **values: object) -> None: ...
    def checkpoint(self, state: object) -> None: ...


def jobs_of(folder: Path, trainer: str, runs: int, epochs: int) -> tuple[Store, list[Job]]:
    """Jobs of a study of one variant."""
    (folder / "own_overhead.py").write_text(TRAIN)
    (folder / "script.py").write_text(SCRIPT)
    text = f"{RECIPES[trainer].replace('PYTHON', sys.executable)}\nbaseline: {{name: base, epochs: {epochs}}}\n"
    (folder / "own.yaml").write_text(text)
    recipe = Recipe.load(folder / "own.yaml", seeds=runs)
    store = Store(folder / f"{trainer}-{runs}-{epochs}")
    plan = make_plan(recipe, store)
    write_study(plan, store)
    return store, make_jobs(plan.to_do(), plan, store, Provenance())


def seconds_per_run(folder: Path, trainer: str, runs: int, epochs: int) -> float:
    """Median seconds from the end of one run to the end of the next, in one slot; the start of the server is left out."""
    store, jobs = jobs_of(folder, trainer, runs + 1, epochs)
    ends = [time.perf_counter() for event in Scheduler(["cpu"], store).run(jobs) if isinstance(event, RunEnded)]
    return statistics.median(b - a for a, b in pairwise(ends))


def bare_function(runs: int, epochs: int) -> float:
    """Median seconds of the function in this process."""
    module: dict[str, Any] = {}
    exec(TRAIN, module)
    return statistics.median(seconds(lambda i=i: module["main"](Bare(i, epochs))) for i in range(runs))


def bare_script(folder: Path, runs: int, epochs: int) -> float:
    """Median seconds of the script, started by hand."""
    words = [sys.executable, "script.py", "0", str(epochs)]
    return statistics.median(
        seconds(lambda: subprocess.run(words, cwd=folder, capture_output=True, check=True)) for _ in range(runs)
    )


def seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(runs: int = 10, few: int = 5, many: int = 205) -> str:
    """Measure, and return a section of Markdown."""
    import torch

    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for trainer in RECIPES:
            ours = {epochs: seconds_per_run(folder, trainer, runs, epochs) for epochs in (few, many)}
            bare = {
                epochs: bare_function(runs, epochs) if trainer == "function" else bare_script(folder, runs, epochs)
                for epochs in (few, many)
            }
            each = ((ours[many] - ours[few]) - (bare[many] - bare[few])) / (many - few)
            rows.append((trainer, bare[few], ours[few], ours[few] - bare[few], 1e3 * each))
    lines = [
        "## What `ablate` adds to your own training",
        "",
        f"{machine()}. One thread, one slot, medians of {runs} runs; the start of the command is not in it. "
        "Goals: 0.3 s a run and 2 ms an epoch for a function, 0.2 s a run for a script.",
        "",
        f"| | {few} epochs by hand, s | as a study, s | added per run, s | added per epoch, ms |",
        "|:--|--:|--:|--:|--:|",
        *(
            f"| {trainer} | {bare:.3f} | {own:.3f} | {more:.3f} | {each:.2f} |"
            for trainer, bare, own, more, each in rows
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
