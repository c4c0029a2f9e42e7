"""Publishing beside a training: a real helper process, a clock of our own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.execution.events import EpochEnded, RunEnded, RunStarted
from ablate.store import locks
from ablate.tracking.publisher import EVERY, FIRST, Publisher
from ablate.tracking.rendering import rendering

FINISHED = RunEnded(variant="net1", seed=0, status="finished")
EPOCH = EpochEnded(variant="net1", seed=1, epoch=1, epochs=3)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beside(lab: Any, clock: Clock) -> Iterator[Publisher]:
    """A study that trains: one seed has finished, one is under way."""
    lab.row("net1", lab.run("a0"), lab.run("a1", seed=1, status="running", epochs=2))
    for run in lab.rows["net1"].runs:
        tell(lab, run)
    with locks.held(lab.store.disk, lab.store.lock_file("a1")):  # as the process that trains it does
        background = Publisher(lab.plan, lab.store, lab.uri, rendering, clock)
        yield background
        background.stop()


def tell(lab: Any, run: Any, **changes: Any) -> None:
    """Write a run's status as its job would."""
    run = replace(run, **changes)
    lab.store.write_status(run)


def answered(background: Publisher, clock: Clock) -> None:
    """Wait for the answer to what was asked; the clock stands still."""
    while background.answered < background.asked:
        background._listen(60.0)


def helper(background: Publisher) -> subprocess.Popen[bytes]:
    assert background._helper is not None
    return background._helper


def steps(lab: Any) -> dict[str, list[int]]:
    client = lab.client
    return {
        name: [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")]
        for name, run in lab.found("seed").items()
    }


@pytest.mark.slow
def test_first_publication_follows_the_first_run_that_ends_and_the_next_its_pause(lab, beside, clock):
    for event in (RunStarted(variant="net1", seed=1, epochs=3), EPOCH):
        beside.event(event)
    assert beside._helper is None
    beside.event(FINISHED)
    answered(beside, clock)
    assert steps(lab) == {"net1 · seed 0": [1, 2, 3, 4], "net1 · seed 1": [1, 2]}
    assert lab.found("seed")["net1 · seed 1"].info.status == "RUNNING"
    assert "| net1 " in lab.found("study")["faces"].data.tags["mlflow.note.content"]

    lab.run("a1", seed=1, status="running", epochs=3)
    clock.now = EVERY - 1
    beside.event(EPOCH)
    assert beside.asked == 1
    clock.now = EVERY
    beside.event(EPOCH)
    beside.event(EPOCH)
    assert beside.asked == 2
    answered(beside, clock)
    assert steps(lab)["net1 · seed 1"] == [1, 2, 3]

    tell(lab, lab.run("a1", seed=1))
    process = helper(beside)
    published = beside.finish(rendering(beside.errand.now(), lab.store))
    assert (published.ok, published.reason) == (True, "")
    assert steps(lab)["net1 · seed 1"] == [1, 2, 3, 4]
    assert {run.info.status for run in lab.found("seed").values()} == {"FINISHED"}
    assert process.poll() is not None


def test_long_run_is_shown_before_it_ends(lab, beside, clock):
    beside.event(EPOCH)
    clock.now = FIRST - 1
    beside.event(EPOCH)
    assert beside.asked == 0
    clock.now = FIRST
    beside.event(EPOCH)
    answered(beside, clock)
    assert steps(lab)["net1 · seed 1"] == [1, 2]


def test_nothing_to_publish_starts_no_process(lab, beside):
    tell(lab, lab.run("a1", seed=1))
    known = rendering(beside.errand.now(), lab.store)
    assert beside.finish(known).ok
    again = Publisher(lab.plan, lab.store, lab.uri, rendering)
    assert again.finish(known).ok
    assert again.asked == 0
    other = replace(known, key="another table")
    assert again.finish(other).ok
    assert again.asked == 1


def test_killed_helper_is_replaced_in_its_time_and_nothing_is_lost(lab, beside, clock):
    beside.event(FINISHED)
    os.kill(helper(beside).pid, signal.SIGKILL)
    helper(beside).wait()
    beside.event(EPOCH)
    assert beside._helper is None
    assert "exited unexpectedly" in beside.last.reason
    beside.event(FINISHED)
    assert beside._helper is None
    tell(lab, lab.run("a1", seed=1))
    assert beside.finish(rendering(beside.errand.now(), lab.store)).ok
    assert steps(lab) == {"net1 · seed 0": [1, 2, 3, 4], "net1 · seed 1": [1, 2, 3, 4]}


def test_after_a_failure_attempts_become_rare(lab, clock, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lab.row("net1", lab.run("a0"))
    tell(lab, lab.rows["net1"].runs[0])
    beside = Publisher(lab.plan, lab.store, "http://127.0.0.1:9", rendering, clock)
    try:
        pauses = []
        for _ in range(3):
            beside.event(FINISHED)
            answered(beside, clock)
            assert beside.last.reason == "MLflow (=http://127.0.0.1:9) does not respond."
            pauses.append(beside.next - clock.now)
            clock.now = beside.next
        assert pauses == [300.0, 3600.0, 3600.0]
    finally:
        beside.stop()


def test_server_that_never_answers_is_waited_for_so_long_and_no_longer(lab):
    lab.row("net1", lab.run("a0"))
    tell(lab, lab.rows["net1"].runs[0])
    waited: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        beside = Publisher(lab.plan, lab.store, uri, rendering)
        beside.event(FINISHED)
        process = helper(beside)
        published = beside.finish(rendering(lab.study, lab.store), within=4.0, waiting=lambda: waited.append(True))
    assert (published.ok, published.reason) == (False, f"MLflow (={uri}) timed out after 4 s.")
    assert waited == [True]
    assert process.poll() == -signal.SIGKILL


def test_interruption_is_told_to_mlflow(lab, beside, clock, monkeypatch):
    monkeypatch.setattr("ablate.tracking.publisher.FAREWELL", 60.0)
    beside.interrupted()
    assert beside.asked == 0  # nothing was told yet
    beside.event(FINISHED)
    answered(beside, clock)
    tell(lab, lab.rows["net1"].runs[1], status="interrupted", finished=1_700_000_100.0)
    process = helper(beside)
    beside.interrupted()
    assert process.poll() is not None
    assert lab.found("seed")["net1 · seed 1"].info.status == "KILLED"
    assert lab.found("study")["faces"].info.status == "KILLED"


def test_helper_ends_with_its_parent(tmp_path: Path):
    script = """
import sys
from ablate.tracking.rendering import rendering
from ablate.recipe.recipe import Recipe
from ablate.recipe.variant import Compare
from ablate.execution.events import RunEnded
from ablate.planning.plan import Plan
from ablate.store.store import Store
from ablate.tracking.publisher import Publisher
from pathlib import Path
plan = Plan(Recipe("s", "", (), (0,), Compare(), None, Path(), ""), ())
beside = Publisher(plan, Store(Path("runs")), "http://127.0.0.1:9", rendering)
beside.event(RunEnded(variant="net1", seed=0, status="finished"))
print(beside._helper.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child)
        parent.kill()
    import select

    ended, _, _ = select.select([watch], [], [], 60.0)
    os.close(watch)
    assert ended
