"""Seconds to bring 1000 epochs of 6 metrics into MLflow, from the store in batches, against ``log_metrics`` once an
epoch and ``log_metric`` for each number: into a SQLite file, and through MLflow's server on one; and of what publishing
costs beside a training. Run with ``python -m bench.publish``.

All ways write to fresh copies of one prepared file, in turn, in one process; the other two log fewer epochs and are
scaled up.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.variant import Compare, Variant
from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking.connection import quiet
from ablate.tracking.publish import publish
from ablate.tracking.ui import page
from bench.measure import machine, ratio

EPOCHS = 1000
ROUNDS = 3
METRICS = ("train_loss", "valid_loss", "rmse_pixels", "lr", "momentum", "seconds")
FEW = 20

Work = Callable[[Path, str, int], None]
"""Brings so many epochs from a folder to a tracking URI."""


def make_study(folder: Path, epochs: int) -> tuple[StudyRecord, Store]:
    """A study of one finished run with a line an epoch."""
    store = Store(folder / "runs")
    lines = [{"epoch": n, "time": 1.7e9 + n, **dict.fromkeys(METRICS, 1 / n)} for n in range(1, epochs + 1)]
    store.write_text(store.run_folder("f0") / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    settings = Settings(**{kind: Choice(kind, None, "mine:it", {}) for kind in Settings.CHOICES}, epochs=epochs)
    variant = Variant("net1", None, "single hidden", (), settings)
    run = RunRecord("f0", 0, status="finished", epoch=epochs, epochs=epochs, started=1.7e9, finished=1.7e9 + epochs)
    recipe = Recipe("bench", "", (variant,), (0,), Compare(), None, folder, "")
    return StudyRecord(recipe, (VariantRecord(variant, (run,)),)), store


def ours(folder: Path, uri: str, epochs: int) -> None:
    """All of a study with that many epochs, ledger included."""
    study, store = make_study(folder, epochs)
    published = publish(study, store, tracking_uri=uri)
    assert published.ok, published.reason


def one_by_one(folder: Path, uri: str, epochs: int) -> None:
    """What a training loop with ``log_metric`` does."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run = client.create_run("0").info.run_id
    for epoch in range(1, epochs + 1):
        for name in METRICS:
            client.log_metric(run, name, 1 / epoch, step=epoch)


def once_an_epoch(folder: Path, uri: str, epochs: int) -> None:
    """What a training loop with ``log_metrics`` does."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(uri)
    run = client.create_run("0").info.run_id
    for epoch in range(1, epochs + 1):
        now = int(1000 * time.time())
        client.log_batch(run, [Metric(name, 1 / epoch, now, epoch) for name in METRICS])


def seconds(work: Work, epochs: int, prepared: Path, served: bool) -> float:
    """The time that ``work`` takes on a copy of the prepared file, or through a server on it."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        shutil.copy(prepared, folder / "mlflow.db")
        uri = f"sqlite:///{folder}/mlflow.db"
        if served:
            uri = stack.enter_context(page(uri, 0, None)).url.partition("/#")[0]
            ours(folder / "warm", uri, 1)  # a server's first answers take longer
        began = time.perf_counter()
        work(folder, uri, epochs)
        return time.perf_counter() - began


def compared(prepared: Path, served: bool) -> str:
    """A line of the table: medians of all three ways, and of the ratios to ours."""
    times: list[list[float]] = [[], [], []]
    for _ in range(ROUNDS):
        for work, epochs, found in zip((ours, once_an_epoch, one_by_one), (EPOCHS, FEW, FEW), times, strict=True):
            found.append(seconds(work, epochs, prepared, served) * EPOCHS / epochs)
    mine, an_epoch, single = times
    where = "through a server" if served else "into SQLite"
    cells = [f"{statistics.median(mine):.2f}"]
    for other in (an_epoch, single):
        cells += [f"{statistics.median(other):.0f}", f"{ratio(other, mine):.0f} ×"]
    return f"| {where} | {' | '.join(cells)} |"


def longest_gap(work: Sequence[str] | None) -> float:
    """Milliseconds that a loop of this process, which handles events, is held up at most while MLflow is imported: by a
    thread, or by another process.
    """
    script = f"import sys, threading, time\nwork = {list(work) if work else None!r}\n" + GAPS
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)


GAPS = """
if work is None:
    def load(): import mlflow
    thread = threading.Thread(target=load)
    thread.start()
    busy = thread.is_alive
else:
    import subprocess
    process = subprocess.Popen(work)
    busy = lambda: process.poll() is None
longest, last = 0.0, time.perf_counter()
while busy():
    time.sleep(0.001)
    now = time.perf_counter()
    longest, last = max(longest, now - last), now
print(1000 * longest)
"""


def main() -> str:
    """Measure; returns the section of the results."""
    lines = [
        "## Publishing to MLflow",
        "",
        f"{machine()}. {EPOCHS} epochs × {len(METRICS)} metrics, medians of {ROUNDS} rounds; the other two from {FEW} epochs.",
        "",
        "| where | ablate, seconds | `log_metrics` each epoch, seconds | ratio | `log_metric` one by one, seconds | ratio |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as folder, quiet():
        ours(
            Path(folder), f"sqlite:///{folder}/mlflow.db", 1
        )  # imports MLflow and prepares the file: neither is measured
        lines += [compared(Path(folder, "mlflow.db"), served) for served in (False, True)]
        nice = ["nice", "-n", "10", sys.executable, "-c", "import mlflow"]
        gaps = [(longest_gap(None), longest_gap(nice)) for _ in range(ROUNDS)]
    thread, process = (statistics.median(column) for column in zip(*gaps, strict=True))
    lines += [
        "",
        "| who imports MLflow beside a training | longest gap between two events, milliseconds |",
        "|:--|--:|",
    ]
    lines += [f"| a thread of the command | {thread:.0f} |", f"| a process that stands back (ablate) | {process:.0f} |"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())
