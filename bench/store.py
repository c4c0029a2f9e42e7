"""What the record costs: a job beyond its training, an epoch, a plan and a table of 2,000 runs. Run with ``python -m
bench.store``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from ablate.engine.contract import Facts, Outcome
from ablate.execution.events import RunEnded
from ablate.execution.jobs import Job, make_jobs
from ablate.execution.run_recorder import RunRecorder
from ablate.execution.scheduler import Scheduler
from ablate.execution.shutdown import Ending
from ablate.execution.worker import train_job
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.store.provenance import Provenance
from ablate.store.records import RunRecord
from ablate.store.store import Store
from bench.measure import machine

SMALL = """
study: small
data: {target: data:load}
seeds: 1
baseline:
  name: one
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 16
  epochs: 1
"""

DATA = """
import torch
from torch.utils.data import TensorDataset

def load():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(48, 1, 4, 4, generator=generator)
    return TensorDataset(x, torch.arange(48) % 2), TensorDataset(x[:16], torch.arange(16) % 2)
"""

LARGE = """
study: large
data: digits
metrics: [accuracy]
seeds: 5
baseline:
  name: baseline
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.9}
variants:
  - name: lr-{i}
    from: baseline
    for: {i: [%s]}
    set: {optimizer.lr: $i}
"""

WITH_PEAK = """
import sys, time
began = time.perf_counter()
from ablate.cli.app import run_command
code = run_command(sys.argv[1:])
seconds = time.perf_counter() - began
# not getrusage, whose peak a child takes over from the process that started it
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(seconds, peak, code, file=sys.stderr)
"""


class Nothing:
    """A report that does nothing."""

    def started(self, facts: Facts) -> None: ...
    def epoch(self, replica: int, line: Mapping[str, Any]) -> None: ...
    def due(self, epoch: int) -> bool:
        return False

    def checkpoint(self, state: Mapping[str, Any]) -> None: ...
    def weights(self, replica: int, which: str, state: Mapping[str, Any]) -> None: ...
    def ended(self, replica: int, outcome: Outcome) -> None: ...


def small_job(folder: Path, runs: str, **flags: Any) -> tuple[Store, list[Job]]:
    """Jobs of a study whose training takes milliseconds."""
    (folder / "small.yaml").write_text(SMALL)
    (folder / "data.py").write_text(DATA)
    recipe = Recipe.load(folder / "small.yaml", **flags)
    store = Store(folder / runs)
    plan = make_plan(recipe, store)
    write_study(plan, store)
    return store, make_jobs(plan.to_do(), plan, store, Provenance())


def seconds_of(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def job_overhead(folder: Path, count: int = 20) -> tuple[float, float]:
    """Seconds from the end of one job to the end of the next in one slot, and of the training alone in this process."""
    store, jobs = small_job(folder, "jobs", seeds=count + 1)
    ends = []
    for event in Scheduler(["cpu"], store).run(jobs):
        if isinstance(event, RunEnded):
            ends.append(time.perf_counter())
    whole = statistics.median(b - a for a, b in pairwise(ends))
    alone = statistics.median(seconds_of(lambda: train_job(jobs[0], Nothing(), None)) for _ in range(11))
    return whole, alone


def recorder(job: Job, store: Store) -> RunRecorder:
    """The report of a job's first attempt."""
    before = [store.record(name) for name in job.fingerprints]
    return RunRecorder(job, store, lambda event: None, Ending(), None, set(), before, lambda: None)


def epoch_overhead(folder: Path, epochs: int = 400, rounds: int = 7) -> tuple[float, float]:
    """Median seconds of an epoch with the store's report, and with one that does nothing, alternating."""
    times: list[tuple[float, float]] = []
    for i in range(rounds):
        store, [job] = small_job(folder, f"epochs{i}", sets=[f"epochs={epochs}"])
        report = recorder(job, store)
        recorded = seconds_of(lambda job=job, report=report: train_job(job, report, None))
        times.append((recorded / epochs, seconds_of(lambda job=job: train_job(job, Nothing(), None)) / epochs))
    ours, bare = zip(*times, strict=True)
    return statistics.median(ours), statistics.median(bare)


def many_epochs(folder: Path, epochs: int = 100_000) -> tuple[float, float]:
    """Seconds per line of the record: of the first tenth of a long run, and of its last."""
    store, [job] = small_job(folder, "many", sets=[f"epochs={epochs}"])
    report = recorder(job, store)
    tenths = []
    for tenth in range(10):
        lines = range(tenth * epochs // 10 + 1, (tenth + 1) * epochs // 10 + 1)

        def write(lines: range = lines) -> None:
            for epoch in lines:
                report.epoch(0, {"epoch": epoch, "time": 1.7e9, "train_loss": 0.5, "valid_loss": 0.6, "seconds": 1.0})

        tenths.append(seconds_of(write) / len(lines))
    return tenths[0], tenths[-1]


def fill(folder: Path, epochs: int) -> Path:
    """A store of 2,000 finished runs, as if they had been trained; returns the recipe."""
    path = folder / "large.yaml"
    path.write_text(LARGE % ", ".join(f"{0.001 * (i + 1):.3f}" for i in range(399)))
    recipe = Recipe.load(path)
    store = Store(folder / f"large{epochs}")
    plan = make_plan(recipe, store)
    write_study(plan, store)
    lines = "".join(
        json.dumps({"epoch": n, "time": 1.7e9 + n, "train_loss": 1 / n, "valid_loss": 2 / n, "accuracy": 0.9}) + "\n"
        for n in range(1, epochs + 1)
    )
    for i, run in enumerate(plan.runs):
        values = {
            "train_loss": 0.1 + i * 1e-5,
            "train_loss_clean": 0.1,
            "valid_loss": 0.2 + i % 7 * 1e-3,
            "accuracy": 0.9,
        }
        status = {
            "status": "finished",
            "seed": run.seed,
            "epoch": epochs,
            "epochs": epochs,
            "results": dict.fromkeys(("selected", "last", "best"), values),
            "seconds": 12.0,
            "finished": 1.7e9,
            "stack": [run.seed],
        }
        store.write_status(RunRecord.from_status(run.fingerprint, status))
        home = store.run_folder(run.fingerprint)
        store.write_text(home / "metrics.jsonl", lines)
        store.write_provenance(run.fingerprint, Provenance(torch="2.13", device="cpu", host="here", threads=1))
    return path


def cleaning(count: int = 100_000, studies: int = 100) -> list[tuple[str, str]]:
    """Seconds and peak megabytes of ``ablate clean`` on ``count`` runs: when studies name all of them, and none."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name) / "runs")
        for number in range(count):
            fingerprint = f"{number:032x}"
            store.write_status(RunRecord(fingerprint, seed=number, status="finished"))
            store.write_text(store.run_folder(fingerprint) / "metrics.jsonl", '{"epoch": 1}\n')
            store.write_provenance(fingerprint, Provenance(host="here"))
            store.append_to(fingerprint, "lock").close()
        for number in range(studies):
            runs = {str(seed): f"{seed:032x}" for seed in range(number, count, studies)}
            store.write_study(f"study{number}", {"rows": [{"variant": "v", "identity": "i", "runs": runs}]})
        rows.append(("all in use", look(Path(name), ["clean", "--runs", "runs"], repeat=1)))
        for number in range(studies):
            store.write_study(f"study{number}", {"rows": []})
        rows.append(("none in use", look(Path(name), ["clean", "--runs", "runs"], repeat=1)))
    goal = "(goal: under 20 s, 500 MB)"
    return [
        (f"`ablate clean`, {count:,} runs, {what} {goal}", f"{seconds:.1f} s, {peak:.0f} MB")
        for what, (seconds, peak) in rows
    ]


def look(folder: Path, words: list[str], repeat: int = 3) -> tuple[float, float]:
    """Seconds and peak megabytes of a command, imports included; medians of three."""
    ends = []
    for _ in range(repeat):
        command = [sys.executable, "-c", WITH_PEAK, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        seconds, peak, _code = done.stderr.split("\n")[-2].split()
        ends.append((float(seconds), float(peak)))
    return statistics.median(end[0] for end in ends), statistics.median(end[1] for end in ends)


def main() -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, alone = job_overhead(folder)
        recorded, bare = epoch_overhead(folder)
        first, last = many_epochs(folder)
        rows = [
            ("a job, training of milliseconds (fork, lock, store, end)", f"{whole:.3f} s"),
            ("… its training alone, in a warm process", f"{alone:.3f} s"),
            ("**overhead of a job** (goal: under 0.3 s)", f"**{whole - alone:.3f} s**"),
            ("**overhead of an epoch** (goal: under 2 ms)", f"**{1000 * (recorded - bare):.2f} ms**"),
            ("a line of the record: first tenth of 100,000 epochs", f"{1e6 * first:.0f} µs"),
            ("… last tenth", f"{1e6 * last:.0f} µs"),
        ]
        for epochs in (100, 1000):
            recipe = fill(folder, epochs)
            flags = [str(recipe), "--runs", f"large{epochs}"]
            for title, words in (("plan --quick", ["--quick", "--json"]), ("table", ["--format", "csv"])):
                seconds, peak = look(folder, [title.split()[0], *flags, *words])
                goal = " (goal: under 3 s)" if epochs == 100 else ""
                rows.append(
                    (f"`ablate {title}`, 2,000 runs × {epochs:,} epochs{goal}", f"{seconds:.2f} s, {peak:.0f} MB")
                )
        rows += cleaning()
    lines = [
        "## What the record costs",
        "",
        f"{machine()}. One process at a time; medians.",
        "",
        "| | |",
        "|:--|--:|",
        *(f"| {title} | {value} |" for title, value in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())
