"""`ablate run` and `ablate sync` with MLflow, as whole processes."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

WATCHED = """
import json, sys
started = []
sys.addaudithook(lambda event, args: started.append(event) if event in
    ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec", "os.system", "socket.connect") else None)
from ablate.cli.app import run_command
code = run_command(sys.argv[1:])
heavy = [name for name in ("torch", "mlflow", "sqlalchemy", "pandas", "matplotlib") if name in sys.modules]
print(json.dumps([code, started, heavy]), file=sys.stderr)
"""


def watched(folder: Path, *words: str) -> Any:
    """Exit code, processes and connections that were started, and heavy modules that were imported by a command."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", WATCHED, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stderr.splitlines()[-1])


def test_finished_and_published_study_starts_no_process_and_imports_neither_torch_nor_mlflow(desk, prepared, is_whole):
    assert desk.give("run", "recipe.yaml").stderr.count("\n") == 1
    is_whole(f"sqlite:///{desk.folder}/mlflow.db")
    assert watched(desk.folder, "run", "recipe.yaml") == [0, [], []]
    shutil.copy(prepared, desk.folder / "mlflow.db")
    assert watched(desk.folder, "run", "recipe.yaml") == [0, ["subprocess.Popen"], []]
    is_whole(f"sqlite:///{desk.folder}/mlflow.db")


def test_study_is_published_beside_its_training_and_whole_at_its_end(fresh_desk, is_whole):
    desk = fresh_desk
    done = desk.give("run", "recipe.yaml", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    is_whole(f"sqlite:///{desk.folder}/mlflow.db")
    ledger = json.loads((desk.folder / "runs" / "tiny" / "published.json").read_text())
    (sent,) = ledger["trackers"].values()
    assert sent["publication"] == ""
    assert watched(desk.folder, "run", "recipe.yaml") == [0, [], []]


def test_interrupted_study_is_not_left_running_in_mlflow(fresh_desk):
    desk = fresh_desk
    with desk.start("run", "recipe.yaml", "--jobs", "4", "--set", "net1.epochs=1000000") as process:
        wait_for_run(desk.folder / "mlflow.db", "net1 · seed 0")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        process.stdout.read()
    assert process.returncode == 130
    assert ": ablate run recipe.yaml --jobs 4" in said
    with closing(sqlite3.connect(desk.folder / "mlflow.db")) as database:
        states = {state for (state,) in database.execute("SELECT status FROM runs WHERE name LIKE 'net%'")}
    assert states <= {"FINISHED", "KILLED"}
    assert "KILLED" in states


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "command alone"])
def test_killed_study_has_every_epoch_once_and_nothing_is_left_running(fresh_desk, steps_of, states_of, whole_group):
    """Killed while it publishes beside its training, resumed from a checkpoint that is older than what MLflow has,
    interrupted, and published.
    """
    desk = fresh_desk
    uri = f"sqlite:///{desk.folder}/mlflow.db"
    flags = ["recipe.yaml", "--set", "net1.epochs=1000000", "--set", "checkpoint={every: 1 epoch}"]
    with desk.start("run", *flags, "--jobs", "4") as process:
        wait_for_run(desk.folder / "mlflow.db", "net1 · seed 0")
        watched = [os.pidfd_open(each) for each in descendants(process.pid)]
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    assert len(watched) >= 3  # the server of jobs, a job, the one who publishes
    for each in watched:
        assert select.select([each], [], [], 60.0)[0], "a process was left over"
        os.close(each)
    assert desk.give("sync", *flags).returncode == 0
    assert states_of("tiny", uri) == {"FINISHED", "KILLED"}
    reached = last_epochs(steps_of("tiny", uri))

    with desk.start("run", *flags, "--jobs", "4") as process:
        wait_for_epoch(desk.folder / "runs", "net1", 0, reached["net1 · seed 0"] + 3)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert desk.give("sync", *flags).returncode == 0
    assert states_of("tiny", uri) == {"FINISHED", "KILLED"}
    later = last_epochs(steps_of("tiny", uri))
    assert later["net1 · seed 0"] > reached["net1 · seed 0"]
    assert later["net2 · seed 0"] == reached["net2 · seed 0"] == 5


def last_epochs(found: dict[str, dict[str, list[int]]]) -> dict[str, int]:
    """The last epoch of each seed; every curve must have every epoch up to it, once."""
    for name, metrics in found.items():
        for key, steps in metrics.items():
            assert steps == list(range(1, len(steps) + 1)), f"{name}: {key}"
    return {name: len(metrics["train_loss"]) for name, metrics in found.items()}


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [each for child in children for each in descendants(child)]


def wait_for_epoch(runs: Path, variant: str, seed: int, epoch: int) -> None:
    """Return once a run in the store has come to an epoch."""
    rows = {row["variant"]: row for row in json.loads((runs / "tiny" / "study.json").read_text())["rows"]}
    lines = runs / "store" / rows[variant]["runs"][str(seed)] / "metrics.jsonl"
    while not lines.exists() or f'"epoch": {epoch},' not in lines.read_text():
        time.sleep(0.1)


def wait_for_run(file: Path, name: str) -> None:
    """Return once a run of that name is running in MLflow's database."""
    while True:
        time.sleep(0.1)
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            if database.execute("SELECT 1 FROM runs WHERE name = ? AND status = 'RUNNING'", (name,)).fetchone():
                return


@pytest.mark.slow
def test_three_studies_at_once_share_one_file_that_others_write_too(desk, is_whole):
    uri = f"sqlite:///{desk.folder}/mlflow.db"
    text = (desk.folder / "recipe.yaml").read_text()
    for name in ("one", "two", "three"):
        (desk.folder / f"{name}.yaml").write_text(text.replace("study: tiny", f"study: {name}"))
    stranger = subprocess.Popen(
        [sys.executable, "-c", STRANGER, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert stranger.stdout is not None
    assert stranger.stdout.readline() == "writing\n"
    commands = [desk.start("run", f"{name}.yaml") for name in ("one", "two", "three")]
    for command in commands:
        out, error = command.communicate()
        assert (command.returncode, error.count("\n")) == (0, 1), error
        assert "net2" in out
    told, _ = stranger.communicate()
    assert int(told) > 0
    for name in ("one", "two", "three"):
        is_whole(uri, name)


STRANGER = """# fork
import sys, threading
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
run = client.create_run("0").info.run_id
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
print("writing", flush=True)
step = 0
while not over.wait(0.02):  # a training of its own, one step after another
    client.log_metric(run, "loss", 1.0, step=step)
    step += 1
print(step)
"""
