"""`kill -9` at ten moments of studies that user code trains: nothing is lost, trained twice, or left over."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from ablate.store.store import Store

DEADLINE = 300.0
EPOCHS = 40

TRAIN = """
import time
import torch

def main(run, lr=0.1):
    weight, done = torch.randn(3, requires_grad=True), 0
    if state := run.resume():
        weight.data, done = state["weight"], state["done"]
    for epoch in range(done + 1, run.epochs + 1):
        loss = ((weight - torch.rand(3)) ** 2).mean()
        loss.backward()
        weight.data -= lr * weight.grad
        weight.grad = None
        time.sleep(0.01)
        run.log(epoch=epoch, train_loss=loss, valid_loss=weight.abs().sum())
        run.checkpoint({"weight": weight.data, "done": epoch})
"""

SCRIPT = """
import json, os, random, sys, time
lr, seed, epochs, out = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
weight, done, last = random.Random(seed).random(), 0, out + "/last.json"
if os.environ["ABLATE_RESUME"] and os.path.exists(last):
    weight, done = json.load(open(last))
for epoch in range(done + 1, epochs + 1):
    weight -= lr * (weight - random.Random(f"{seed} {epoch}").random())
    time.sleep(0.01)
    with open(out + "/metrics.jsonl", "a") as file:
        file.write(json.dumps({"epoch": epoch, "valid_loss": weight}) + "\\n")
    with open(last + ".new", "w") as file:
        json.dump([weight, epoch], file)
    os.replace(last + ".new", last)
"""

RECIPE = """
study: own
trainer: TRAINER
seeds: 3
baseline: {name: base, epochs: EPOCHS, checkpoint: {every: 1 epoch}, args: {lr: 0.1}}
variants:
  - {name: fast, set: {args.lr: 0.3}}
"""

TRAINERS = {
    "target": "{target: own_kills:main}",
    "command": '{command: [PYTHON, script.py, "{lr}", "{seed}", "{epochs}", "{out}"], resume_args: [resumed]}',
}

pytestmark = pytest.mark.slow


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def points(runs):
    """How many points all runs of a folder have recorded."""
    return sum(path.read_bytes().count(b"\n") for path in runs.glob("store/*/metrics.jsonl"))


def family(pid):
    """A process and its descendants."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def recorded(runs):
    store = Store(runs)
    found = {}
    for folder in (runs / "store").iterdir():
        lines = [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in store.metrics(folder.name)]
        status = json.loads((folder / "status.json").read_text())
        found[folder.name] = (status["status"], status["results"], status["best_epoch"], lines)
    return found


def finished(runs):
    """When each finished run ended."""
    found = {}
    for path in runs.glob("store/*/status.json"):
        status = json.loads(path.read_text())
        if status["status"] == "finished":
            found[path.parent.name] = status["finished"]
    return found


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_ten_kills(tmp_path, warm, ablate, trainer):
    (tmp_path / "own_kills.py").write_text(TRAIN)
    (tmp_path / "script.py").write_text(SCRIPT)
    text = RECIPE.replace("TRAINER", TRAINERS[trainer]).replace("EPOCHS", str(EPOCHS))
    recipe = tmp_path / "own.yaml"
    recipe.write_text(text.replace("PYTHON", sys.executable))
    words = ("run", str(recipe), "--no-mlflow", "--format", "json")
    whole = warm.start(tmp_path, *words, "--runs", "whole")
    whole.communicate(timeout=DEADLINE)
    assert whole.returncode == 0
    runs, draw, done = tmp_path / "runs", random.Random(trainer), {}
    for _ in range(10):
        study = warm.start(tmp_path, *words, "--runs", "runs")
        target = min(points(runs) + draw.randrange(1, 2 * EPOCHS // 4), 6 * EPOCHS - 1)
        until(lambda study=study, target=target: points(runs) >= target or study.poll() is not None)
        assert study.poll() is None, study.communicate()
        for pid in family(study.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        study.communicate()
        until(lambda: not any(Store(runs).is_claimed(path.name) for path in (runs / "store").iterdir()))
        now = finished(runs)
        assert done.items() <= now.items(), "a finished run was trained again"
        done = now
    study = warm.start(tmp_path, *words, "--runs", "runs")
    _, err = study.communicate(timeout=DEADLINE)
    assert study.returncode == 0, err
    assert done.items() <= finished(runs).items()
    assert recorded(runs) == recorded(tmp_path / "whole")
    assert not list(runs.rglob("checkpoint*"))
    logs = "".join(path.read_text() for path in runs.glob("store/*/log.txt"))
    assert "resumed after epoch" in logs
    database = tmp_path / "mlflow.db"
    assert ablate("sync", recipe, "--runs", runs, "--tracking-uri", f"sqlite:///{database}").code == 0
    with contextlib.closing(sqlite3.connect(database)) as tracked:
        rows = tracked.execute(
            "SELECT key, step, COUNT(*) FROM metrics WHERE key = 'valid_loss' GROUP BY run_uuid, key, step"
        )
        counts = [count for _, step, count in rows if step > 0]
    assert set(counts) == {1}
    assert len(counts) >= 6 * EPOCHS - 6
