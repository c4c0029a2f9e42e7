"""Seconds to bring 1000 epochs of 6 metrics into MLflow's SQLite file: from the store in batches, against one ``log_metric`` at a time.

Both write to fresh copies of one prepared file, alternating, in one process; the one-by-one side logs fewer epochs and is scaled up. Prints a table
with the medians of the ratios. ``python bench/publish.py [--epochs 1000] [--rounds 5]``
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ablate.recipe.recipe import Compare, Recipe, Variant
from ablate.recipe.settings import Choice, Settings
from ablate.study.records import RunRecord, StudyRecord, VariantRecord
from ablate.study.store import Store
from ablate.tracker.connection import quiet
from ablate.tracker.publish import publish

METRICS = ("train_loss", "valid_loss", "rmse_pixels", "lr", "momentum", "seconds")
ONE_BY_ONE_EPOCHS = 50


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


def ours(folder: Path, epochs: int) -> None:
    """All of a study with that many epochs, ledger included."""
    study, store = make_study(folder, epochs)
    published = publish(study, store, tracking_uri=f"sqlite:///{folder}/mlflow.db")
    assert published.ok, published.reason


def one_by_one(folder: Path, epochs: int) -> None:
    """What a training loop with ``log_metric`` does."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.create_run("0").info.run_id
    for epoch in range(1, epochs + 1):
        for name in METRICS:
            client.log_metric(run, name, 1 / epoch, step=epoch)


def seconds(work: Callable[[Path, int], None], epochs: int, prepared: Path) -> float:
    """The time that ``work`` takes on a copy of the prepared file."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(prepared, Path(folder, "mlflow.db"))
        began = time.perf_counter()
        work(Path(folder), epochs)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, quiet():
        ours(Path(folder), 1)  # imports MLflow and prepares the file: neither is measured
        prepared = Path(folder, "mlflow.db")
        few = min(asked.epochs, ONE_BY_ONE_EPOCHS)
        times = []
        for _ in range(asked.rounds):
            batches = seconds(ours, asked.epochs, prepared)
            times.append((batches, seconds(one_by_one, few, prepared) * asked.epochs / few))
    batches, singles = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(single / batch for batch, single in times)
    print(f"{asked.epochs} epochs × {len(METRICS)} metrics into SQLite, median of {asked.rounds} rounds")
    print(f"{'ablate, in batches':36}{batches:8.2f} s")
    print(f"{f'log_metric, one by one (from {few} epochs)':36}{singles:8.2f} s")
    print(f"{'ratio':36}{ratio:8.1f} ×")


if __name__ == "__main__":
    main()
