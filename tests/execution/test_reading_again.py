"""Runs of a command whose `read` changes: their metrics are read again from what is kept, and nothing is trained."""

from __future__ import annotations

import json
import os
import sys

import pytest

from ablate.execution.jobs import make_jobs
from ablate.execution.reading_again import read_again
from ablate.execution.run_recorder import RunRecorder
from ablate.execution.shutdown import Ending
from ablate.execution.worker import run_job
from ablate.planning.changed import changed
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.store.disk import Disk
from ablate.store.provenance import Provenance
from ablate.store.store import Store

SCRIPT = """
import os, sys
seed, out = int(sys.argv[1]), os.environ["ABLATE_OUT"]
with open(out + "/log.csv", "w") as file:
    print("epoch,loss/val,acc", file=file)
    for epoch in (1, 2, 3):
        print(f"{epoch},{(seed + 1) / epoch},{epoch / 4}", file=file)
for epoch in (1, 2, 3):
    print("epoch", epoch, "val", (seed + 1) / epoch, "acc", epoch / 4)
open(out + "/../../../starts", "a").write("x")
"""

VAL = r"{regex: {epoch: 'epoch (\d+)', valid_loss: 'val ([\d.]+)'}}"
BOTH = r"{regex: {epoch: 'epoch (\d+)', valid_loss: 'val ([\d.]+)', accuracy: 'acc ([\d.]+)'}}"
WRONG = r"{regex: {valid_loss: 'valid ([\d.]+)'}}"
CSV = '{csv: "{out}/log.csv", names: {valid_loss: loss/val, accuracy: acc}}'
EXPECTED = [{"epoch": epoch, "valid_loss": 1 / epoch, "accuracy": epoch / 4} for epoch in (1, 2, 3)]


class Study:
    """A study of one variant, trained in this process."""

    def __init__(self, folder, script=SCRIPT, more=""):
        self.folder, self.more = folder, more
        (folder / "train.py").write_text(script)

    @property
    def store(self):
        return Store(self.folder / "runs")

    @property
    def starts(self):
        path = self.folder / "runs" / "starts"
        return len(path.read_text()) if path.exists() else 0

    def plan(self, read, store=None):
        recipe = (
            f"study: own\ntrainer: {{command: ['{sys.executable}', train.py, '{{seed}}'], read: {read}{self.more}}}\n"
        )
        (self.folder / "own.yaml").write_text(f"{recipe}seeds: [0]\nbaseline: {{name: base}}\n")
        return make_plan(Recipe.load(self.folder / "own.yaml"), store or self.store)

    def train(self, read, ending=None, store=None):
        """What `run_study` does, without a server."""
        store = store or self.store
        plan = self.plan(read, store)
        write_study(plan, store)
        plan = read_again(plan, store)
        for job in make_jobs(plan.to_do(), plan, store, Provenance()):
            before = [os.dup(descriptor) for descriptor in (1, 2)]
            try:
                run_job(job, store, lambda event: None, ending=ending, capture=into_log)
            finally:
                sys.stdout.flush()
                for descriptor, copy in enumerate(before, start=1):
                    os.dup2(copy, descriptor)
                    os.close(copy)
        return plan.renewed(store).runs[0].record

    def lines(self, record):
        lines = list(self.store.metrics(record.fingerprint))
        return [{key: value for key, value in line.items() if key not in ("time", "seconds", "at")} for line in lines]


def into_log(log):
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)


@pytest.mark.parametrize("read", [BOTH, CSV])
def test_another_reading_trains_nothing(tmp_path, read):
    study = Study(tmp_path)
    first = study.train(VAL)
    plan = study.plan(read)
    assert [note.kind for note in changed(plan, study.store)] == ["read_again"]
    assert not plan.to_do()
    assert plan.runs[0].record.status == "stale"
    again = study.train(read)
    assert study.starts == 1
    assert study.lines(again) == EXPECTED
    assert (again.status, again.results["last"]) == ("finished", {"valid_loss": 1 / 3, "accuracy": 0.75})
    assert (again.seconds, again.started, again.finished) == (first.seconds, first.started, first.finished)
    times = [line["seconds"] for line in study.store.metrics(again.fingerprint)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(first.seconds, abs=1e-3)
    assert "accuracy" in (study.store.run_folder(again.fingerprint) / "settings.yaml").read_text()
    assert study.train(read) == again


def test_a_run_that_failed_because_nothing_matched_is_read_again(tmp_path):
    study = Study(tmp_path)
    assert "reported no metrics" in study.train(WRONG).reason
    done = study.train(BOTH)
    assert (done.status, done.reason, study.lines(done)) == ("finished", "", EXPECTED)
    lost = study.train(WRONG)
    assert (lost.status, lost.results, study.lines(lost)) == ("failed", {}, [])
    assert "reported no metrics" in lost.reason
    assert study.lines(study.train(CSV)) == EXPECTED
    assert study.starts == 1


def test_a_command_that_failed_by_itself_is_left_alone(tmp_path):
    study = Study(tmp_path, f"{SCRIPT}\nraise SystemExit(3)")
    assert "exit code 3" in study.train(VAL).reason
    assert "exit code 3" in study.train(BOTH).reason
    assert study.starts == 1


@pytest.mark.parametrize("lost", ["log.txt", "work/log.csv"])
def test_what_is_not_kept_is_trained_again(tmp_path, lost):
    study = Study(tmp_path)
    reads = (CSV, BOTH) if lost == "log.txt" else (BOTH, CSV)
    first = study.train(reads[0])
    (study.store.run_folder(first.fingerprint) / lost).unlink()
    plan = study.plan(reads[1])
    assert [note.kind for note in changed(plan, study.store)] == ["not_kept"]
    assert plan.to_do()
    again = study.train(reads[1])
    assert (again.status, again.attempt, study.lines(again)) == ("finished", 2, EXPECTED)
    assert study.starts == 2


def test_a_link_in_place_of_the_file_is_not_read(tmp_path):
    study = Study(tmp_path)
    first = study.train(BOTH)
    path = study.store.run_folder(first.fingerprint) / "work" / "log.csv"
    path.rename(tmp_path / "elsewhere.csv")
    path.symlink_to(tmp_path / "elsewhere.csv")
    assert study.plan(CSV).runs[0].kept is False


def test_only_the_output_of_the_last_attempt_counts(tmp_path):
    study = Study(tmp_path)
    study.train(VAL)
    (tmp_path / "train.py").write_text(SCRIPT.replace("(seed + 1)", "(seed + 1.0)"))
    fingerprint = study.plan(VAL).runs[0].fingerprint
    with study.store.append_to(fingerprint, "log.txt") as log:
        log.write(b"epoch 7 val 0.7 acc 0.7\n")
    study.train(VAL)
    assert study.lines(study.train(BOTH)) == EXPECTED


def test_a_run_that_a_reading_ended_is_trained_again(tmp_path):
    study = Study(tmp_path, SCRIPT.replace('print("epoch", epoch', "print('nan', 'epoch', epoch"))
    bad = study.train(r"{regex: {epoch: 'epoch (\d+)', valid_loss: '(nan)'}}")
    assert bad.status == "diverged"
    plan = study.plan(BOTH)
    assert study.lines(study.train(BOTH)) == EXPECTED
    assert study.starts in ((1,) if plan.runs[0].kept else (1, 2))  # the script may have ended first


def test_runs_of_earlier_versions_count_as_unchanged(tmp_path):
    study = Study(tmp_path)
    first = study.train(VAL)
    path = study.store.run_folder(first.fingerprint) / "status.json"
    status = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in status.items() if key not in ("reading", "output")}))
    assert study.plan(BOTH).runs[0].record.status == "finished"
    assert study.plan(BOTH).runs[0].kept is None


class Dying(Disk):
    """A disk whose process is killed before the operation number ``left``."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def point(self, operation, path):
        self.left -= 1
        if self.left < 0:
            raise Killed


class Killed(BaseException):
    pass


def test_a_kill_while_reading_loses_nothing(tmp_path):
    study = Study(tmp_path)
    first = study.train(VAL)
    for left in range(100):
        dying = Store(tmp_path / "runs", Dying(left))
        try:
            read_again(study.plan(BOTH, dying), dying)
        except Killed:
            there = study.plan(VAL).runs[0]
            assert there.kept in (None, True)
            if there.kept is None and there.record.status == "finished":
                assert there.record.results == first.results
                assert [set(line) for line in study.lines(first)] == [{"epoch", "valid_loss"}] * 3
            assert study.lines(study.train(BOTH)) == EXPECTED
            assert study.train(VAL).results == first.results
        else:
            break
    assert 5 < left < 100
    assert study.starts == 1


RESUMING = """
import json, os, sys, time
last = os.environ["ABLATE_OUT"] + "/last.json"
done = json.load(open(last)) if os.environ["ABLATE_RESUME"] else 0
for epoch in range(done + 1, 7):
    print("epoch", epoch, "val", 1 / epoch, "acc", epoch / 4, flush=True)
    json.dump(epoch, open(last, "w"))
    time.sleep(0.1 if epoch < 5 else 0)
open(os.environ["ABLATE_OUT"] + "/../../../starts", "a").write("x")
"""


class EndAfter(Ending):
    """Ends at the first checkpoint after some epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def end_at(self, epoch):
        if epoch >= self.left:
            self.asked = "interrupted"


@pytest.mark.parametrize("then", [VAL, BOTH])
def test_a_resumed_run_is_read_again_as_a_whole(tmp_path, monkeypatch, then):
    study, ending = Study(tmp_path, RESUMING, ", resume_args: [again]"), EndAfter(2)
    record = RunRecorder.epoch

    def recorded(self, replica, line):
        record(self, replica, line)
        if self.ending is ending:
            ending.end_at(line["epoch"])

    monkeypatch.setattr(RunRecorder, "epoch", recorded)
    assert study.train(VAL, ending).status == "interrupted"
    whole = study.train(then)
    assert (whole.status, len(whole.output)) == ("finished", 2 if then == VAL else 1)
    assert [line["valid_loss"] for line in study.lines(whole)] == [1 / epoch for epoch in range(1, 7)]
    starts = study.starts
    again = study.train(BOTH)
    assert [line["accuracy"] for line in study.lines(again)] == [epoch / 4 for epoch in range(1, 7)]
    assert study.starts == starts
