"""What the record costs: a job beyond its training, an epoch, and commands on stores of 2,000 and 100,000 runs. Run with
``python -m bench.store``, or ``python -m bench.store scale`` for the last alone.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

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
from ablate.store.provenance import Provenance, of_command
from ablate.store.records import RunRecord
from ablate.store.store import Store, as_json
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
seeds: %d
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

LINE = '{"epoch": %d, "time": %r, "seconds": %r, "train_loss": %r, "valid_loss": %r, "accuracy": %r}\n'
"""An epoch of a run's metrics, as `json.dumps` writes it."""

WITH_PEAK = """
import os, sys, time
began = time.perf_counter()
from ablate.cli.app import run_command
code = run_command(sys.argv[1:])
seconds = time.perf_counter() - began
# not getrusage, whose peak a child takes over from the process that started it
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(seconds, sum(os.times()[:4]), peak, code, file=sys.stderr)
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


def fill(folder: Path, epochs: tuple[int, ...], variants: int = 400, seeds: int = 5) -> Path:
    """A store of finished runs, as if they had been trained for these numbers of epochs in turn; returns the recipe."""
    path = folder / "large.yaml"
    rates = (f"{0.4 * (i + 1) / variants:.5f}" for i in range(variants - 1))
    path.write_text(LARGE % (seeds, ", ".join(rates)))
    store = Store(folder / f"large{variants * seeds}x{epochs[0]}")
    plan = make_plan(Recipe.load(path), store)
    write_study(plan, store)
    noise = random.Random(0).random
    facts = Facts(parameters=610, steps_per_epoch=23, data={"train": 1438, "valid": 359, "samples": 1797})
    provenance = of_command(folder).of_process("cpu", facts)
    as_file = as_json(provenance.to_json()).encode()
    folder_of_all = store.root / "store"
    folder_of_all.mkdir()
    for i, run in enumerate(plan.runs):
        count = epochs[i % len(epochs)]
        lines = []
        for n in range(1, count + 1):
            train, valid = 1 / n + noise() / 10, 1 / n + noise() / 5
            lines.append(LINE % (n, 1.7e9 + n, n / 10, train, valid, 1 - valid / 2))
        last = {"train_loss": train, "train_loss_clean": train, "valid_loss": valid, "accuracy": 1 - valid / 2}
        record = RunRecord(
            run.fingerprint,
            run.seed,
            status="finished",
            epoch=count,
            epochs=count,
            best_epoch=count,
            selected_epoch=count,
            results=dict.fromkeys(("selected", "last", "best"), last),
            seconds=12.0,
            device_seconds=12.0,
            parameters=610,
            steps=23 * count,
            peak_memory=428015616,
            first_loss=2.3 + noise() / 10,
            started=1.7e9,
            finished=1.7e9,
            heartbeat=1.7e9,
            stack=(run.seed,),
            threads=1,
            pid=provenance.pid,
            host=provenance.host,
            origin=provenance.origin,
        )
        files = {
            "status.json": json.dumps(record.to_status()).encode(),  # without indents, which take a millisecond
            "metrics.jsonl": "".join(lines).encode(),
            "provenance.json": as_file,
            "lock.1": b"free\n",
        }
        home = f"{folder_of_all}/{run.fingerprint}"
        os.mkdir(home)
        for name, contents in files.items():  # plain writes: the store's own take a millisecond each
            file = os.open(f"{home}/{name}", os.O_WRONLY | os.O_CREAT, 0o666)
            os.write(file, contents)
            os.close(file)
    return path


class Look(NamedTuple):
    """A command: seconds of the clock and of all CPUs, with its helper processes, and its own peak in megabytes."""

    clock: float
    cpu: float
    peak: float


def look(folder: Path, words: list[str], times: int = 3) -> Look:
    """What a command takes, imports included; medians."""
    ends = []
    for _ in range(times):
        command = [sys.executable, "-c", WITH_PEAK, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        *numbers, code = done.stderr.split("\n")[-2].split()
        if code != "0":
            raise RuntimeError(f"ablate {' '.join(words)} failed: {done.stderr}")
        ends.append(list(map(float, numbers)))
    return Look(*map(statistics.median, zip(*ends, strict=True)))


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
            recipe = fill(folder, (epochs,))
            flags = [str(recipe), "--runs", f"large2000x{epochs}"]
            for title, words in (("plan --quick", ["--quick", "--json"]), ("table", ["--format", "csv"])):
                seen = look(folder, [title.split()[0], *flags, *words])
                goal = " (goal: under 3 s)" if epochs == 100 else ""
                what = f"`ablate {title}`, 2,000 runs × {epochs:,} epochs{goal}"
                rows.append((what, f"{seen.clock:.2f} s, {seen.peak:.0f} MB"))
    return section("What the record costs", rows) + "\n" + scale()


def scale(variants: int = 500, seeds: int = 200) -> str:
    """Commands on 100,000 runs of 20 to 50 epochs, beside their goals; the last one removes them all."""
    recipe = "large.yaml"
    commands = {
        "plan --quick": ["plan", recipe, "--quick", "--json"],
        "plan": ["plan", recipe, "--json"],
        f"plan`, no run trained, networks of {variants} widths `": ["plan", "widths.yaml", "--json"],
        "table": ["table", recipe, "--format", "csv"],
        "status": ["status", recipe],
        "plot": ["plot", recipe, "-o", "curves.png"],
        "clean --dry-run`, nothing to remove `": ["clean", "--dry-run"],
        "clean`, all runs `": ["clean"],
    }
    lines = ["| | goals | clock | CPU | peak memory |", "|:--|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = fill(folder, (20, 30, 40, 50), variants, seeds).read_text()
        rates, widths = re.findall(r"i: \[(.*)\]", large)[0], ", ".join(map(str, range(9, variants + 8)))
        wide = large.replace(rates, widths).replace("optimizer.lr: $i", "model.hidden: [$i]")
        (folder / "widths.yaml").write_text(wide.replace("study: large", "study: widths"))
        (runs,) = folder.glob("large*x20")
        for title, words in commands.items():
            if words == ["clean"]:
                shutil.rmtree(runs / "large")  # the study that names them
            seen = look(folder, [*words, "--runs", runs.name], 1)
            goals = f"{30 if title == 'plot' else 20} s, 500 MB"
            line = f"`ablate {title}`".replace(" ``", "")
            lines.append(f"| {line} | {goals} | {seen.clock:.1f} s | {seen.cpu:.1f} s | {seen.peak:.0f} MB |")
            print(lines[-1], file=sys.stderr, flush=True)  # the whole takes minutes
        assert not any((runs / "store").iterdir())
    head = f"{machine()}. {variants} variants × {seeds} seeds of 20 to 50 epochs; each command once."
    more = "CPU: user and system, with helper processes. `clean` removes runs that no study names."
    return "\n".join([f"## Commands on {variants * seeds:,} runs", "", f"{head} {more}", "", *lines]) + "\n"


def removal(variants: int = 100, seeds: int = 200) -> str:
    """`ablate clean` beside ``rm -rf`` of a copy of the same runs, each until it is on the disk."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, (20, 30, 40, 50), variants, seeds)
        (runs,) = folder.glob("large*x20")
        shutil.rmtree(runs / "large")
        subprocess.run(["cp", "-a", runs, folder / "copy"], check=True)
        for title, words in (
            ("`rm -rf`", ["rm", "-rf", "copy"]),
            ("`ablate clean`", [sys.executable, "-m", "ablate", "clean", "--runs", runs.name]),
        ):
            os.sync()
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(words, cwd=folder, check=True, capture_output=True)
            command = time.perf_counter() - began
            os.sync()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seconds = (
                f"{command:.1f} s, {time.perf_counter() - began:.1f} s until it is on the disk, {cpu:.1f} s of CPU"
            )
            rows.append((title, seconds))
        assert not any((runs / "store").iterdir())
    return section(f"Removal of {variants * seeds:,} runs", rows)


def section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A section of RESULTS.md with a table of two columns."""
    lines = [
        f"## {title}",
        "",
        f"{machine()}. One process at a time; medians.",
        "",
        "| | |",
        "|:--|--:|",
        *(f"| {title} | {value} |" for title, value in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parts = {"scale": scale, "removal": removal}
    print(parts.get(" ".join(sys.argv[1:]), main)())
