"""A publication that is killed after any of its calls, when MLflow has done its part and nothing is written down: the
next one makes it whole.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from ablate.tracking.connection import Connection
from ablate.tracking.publish import Artifacts, needs_publishing

BEGAN = 1_700_000_000.0
ARTIFACTS = Artifacts("study: faces\n", {"table.md": "| a |"}, "| a |", {}, {"net1": {"valid_loss": 0.5}})
KILLED = 9
CALLS = 19
"""How many calls the first publication of a run takes."""


def killed(lab: Any, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> bool:
    """Publish in a forked process that dies right after its call number ``stop_at``. Returns whether there were so
    many.
    """
    call, calls = Connection._call, []

    def dying(self: Connection, function: Any, *args: Any, **options: Any) -> Any:
        calls.append(function)
        result = call(self, function, *args, **options)
        if len(calls) == stop_at:
            os._exit(KILLED)
        return result

    process = os.fork()
    if process == 0:
        try:
            monkeypatch.setattr(Connection, "_call", dying)
            os._exit(0 if lab.publish(ARTIFACTS).ok else 1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def curve(lab: Any) -> list[int]:
    (run,) = lab.found("seed").values()
    return [point.step for point in lab.client.get_metric_history(run.info.run_id, "train_loss")]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", range(1, CALLS + 2))
def test_kill_after_any_call_doubles_and_loses_nothing(lab, monkeypatch, stop_at):
    lab.row("net1", lab.run("a0"))
    assert killed(lab, monkeypatch, stop_at) == (stop_at <= CALLS), (
        "there are more calls, or fewer, than are tried here"
    )
    assert needs_publishing(lab.study, lab.store, lab.uri, ARTIFACTS) == (stop_at <= CALLS)
    lab.sent(ARTIFACTS)
    assert curve(lab) == [1, 2, 3, 4]
    variant, study = lab.found("variant")["net1"], lab.found("study")["faces"]
    assert variant.data.metrics == {"valid_loss": 0.5}
    assert study.data.tags["mlflow.note.content"] == "| a |"
    experiment = lab.client.get_experiment_by_name("faces").experiment_id
    runs = lab.client.search_runs([experiment], run_view_type=3)  # those in the trash too
    assert {run.info.status for run in runs} == {"FINISHED"} | ({"KILLED"} if len(runs) > 3 else set())
    assert not needs_publishing(lab.study, lab.store, lab.uri, ARTIFACTS)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", range(14, 20))
def test_training_that_is_set_back_by_the_same_kill_has_each_epoch_once(lab, monkeypatch, stop_at):
    """The epochs after the last checkpoint happen again, at another time, and may be in MLflow already."""
    lab.row("net1", lab.run("a0", status="running", epochs=3))
    killed(lab, monkeypatch, stop_at)
    times = (10.5, 1000.0, 1001.0, 1002.0)
    lines = [{"epoch": n, "time": BEGAN + time, "train_loss": 1 / n} for n, time in enumerate(times, 1)]
    lab.row("net1", lab.run("a0"))
    lab.write_lines("a0", lines)
    lab.sent(ARTIFACTS)
    assert curve(lab) == [1, 2, 3, 4]
    assert needs_publishing(lab.study, lab.store, lab.uri, ARTIFACTS) is False


def test_many_runs_that_the_ledger_has_not_heard_of_are_found(lab, monkeypatch):
    """The ledger is written once a second at most: what a killed process made meanwhile is in MLflow only."""
    monkeypatch.setattr("ablate.tracking.upload.SAVE_SECONDS", 3600.0)
    lab.row("net1", *(lab.run(f"a{seed}", seed=seed) for seed in range(5)))
    assert killed(lab, monkeypatch, 24)
    assert lab.sent(ARTIFACTS).runs == 7
    assert len(lab.found("seed")) == 5
    for run in lab.found("seed").values():
        assert [p.step for p in lab.client.get_metric_history(run.info.run_id, "train_loss")] == [1, 2, 3, 4]


def test_new_database_whose_preparation_was_killed_is_prepared_anew(lab):
    lab.row("net1", lab.run("a0"))
    lab.database.rename(lab.root / ".mlflow.db.4711.0")
    (lab.root / ".mlflow.db.4711.0").write_bytes(b"half of it")
    lab.sent()
    assert curve(lab) == [1, 2, 3, 4]
    assert [path.name for path in lab.root.glob(".mlflow.db.*")] == []
