"""What becomes of jobs: stacks, resumption, retries, changed recipes, other commands; with a stub engine in this
process.
"""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ablate.cli.app import run_command
from ablate.cli.run import ended_badly
from ablate.execution.ensembles import ensembles
from ablate.execution.events import (
    CheckpointDamaged,
    JobRetried,
    NotStarted,
    ProcessExited,
    RunEnded,
    RunStarted,
    StackFailed,
)
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.scheduler import Scheduler
from ablate.execution.shutdown import EndAsked, Ending
from ablate.execution.worker import CHANGED, run_job
from ablate.notes.note import Note
from ablate.planning.changed import changed, untracked
from ablate.planning.cleaning import clean, find_spare
from ablate.planning.networks import known_networks
from ablate.planning.study_file import named_runs
from ablate.recipe import Recipe
from ablate.store import checkpoints, locks
from ablate.store.disk import Disk, StoreWarning
from ablate.store.provenance import Provenance
from ablate.store.store import Store

STUB = Note("text", values={"text": "a stub"})

TWO = "variants:\n  - {name: two, set: {epochs: 2}}\n"


def seeds_of(study, stacks):
    """Fingerprints as seeds."""
    seed = {run.fingerprint: run.seed for run in study.plan().runs}
    return [tuple(seed[name] for name in stack) for stack in stacks]


def crash(at_epoch, seeds=None, error=None):
    """Raise in an epoch, where one of these seeds is among those that train."""

    def before_epoch(now, epoch):
        if epoch == at_epoch and (seeds is None or set(now) & set(seeds)):
            raise error or RuntimeError("the second law")

    return before_epoch


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def kinds(events):
    return [event.status if isinstance(event, RunEnded) else type(event).__name__ for event in events]


def ended(events):
    """The seeds of the runs that have finished, in that order."""
    return [event.seed for event in of_kind(events, RunEnded) if event.status == "finished"]


def test_stacks_go_on_as_they_began(stub_study, stub, faulty_disk, pulled):
    """Interrupted as (0, 1) and (2), they stay so, whatever the next command would make of them."""
    study = stub_study()
    with pytest.raises(pulled):
        study.command(training=stub(crash(2, [2], pulled())), job_disk=None)
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, [2], pulled())))
    left = stub()
    study.command(training=left, stack=3)
    assert seeds_of(study, left.trained) == [(2,)]
    assert left.began_after == [2]

    study = stub_study("again")
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, [0], pulled())), stack=2)
    left = stub()
    study.command(training=left, stack=1)
    assert sorted(seeds_of(study, left.trained)) == [(0, 1), (2,)]
    assert sorted(left.began_after) == [0, 2]


def test_a_stack_goes_on_whole_where_only_one_of_its_seeds_is_asked_for(stub_study, stub, pulled):
    study = stub_study()
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, [0], pulled())), stack=3)
    left = stub()
    study.command(training=left, recipe=stub_study(seeds="1,").recipe)
    assert seeds_of(study, left.trained) == [(0, 1, 2)]
    assert left.began_after == [2]
    assert len(study.finished()) == 3


def test_threads_stay_those_of_the_first_start(stub_study, stub, pulled):
    study = stub_study()
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, None, pulled())), stack=3)
    store = Store(study.root)
    first = study.plan().runs[0].fingerprint
    kept, _ = checkpoints.load(store, first)
    checkpoints.save(store, checkpoints.Checkpoint(kept.runs, 3, kept.began, kept.seconds, kept.lines, kept.state))
    threads = []
    before = torch.get_num_threads()
    try:
        study.command(training=stub(lambda seeds, epoch: threads.append(torch.get_num_threads())))
    finally:
        torch.set_num_threads(before)
    assert threads == [3]
    assert {store.record(run.fingerprint).threads for run in study.plan().runs} == {3}


def test_a_failed_stack_is_tried_seed_by_seed(stub_study, stub):
    study = stub_study()
    training = stub(crash(2, [1]))
    events = study.command(training=training, stack=3)
    assert seeds_of(study, training.trained) == [(0, 1, 2), (0,), (1,), (2,)]
    [failed] = of_kind(events, StackFailed)
    assert failed.seeds == (0, 1, 2)
    assert failed.reason.startswith("RuntimeError: the second law")
    runs = study.plan().runs
    assert [run.record.status for run in runs] == ["finished", "failed", "finished"]
    assert re.fullmatch(r"RuntimeError: the second law \(\w+\.py, line \d+, in \w+\)", runs[1].record.reason)
    # known: only asked for is it tried again, alone and from nothing
    again = stub()
    study.command(training=again)
    assert again.trained == []
    study.command(training=again, retry_failed=True, stack=3)
    assert seeds_of(study, again.trained) == [(1,)]
    assert again.began_after == [0]
    assert len(study.finished()) == 3


def test_a_process_that_dies_goes_on_once_and_then_fails(stub_study, stub, faulty_disk, pulled):
    study = stub_study()
    training = stub(crash(3, [1], pulled()))
    events = study.command(job_disk=faulty_disk, training=training, stack=1)
    assert seeds_of(study, training.trained) == [(0,), (1,), (1,), (2,)]
    assert training.began_after == [0, 0, 2, 0]
    [retried] = of_kind(events, JobRetried)
    assert (retried.variant, retried.seeds, retried.one_by_one) == ("one", (1,), False)
    assert "signal 9" in retried.reason
    [failed] = [run.record for run in study.plan().runs if run.record.status == "failed"]
    assert "signal 9" in failed.reason
    assert failed.epoch == 2


def test_a_stack_that_dies_goes_on_and_is_then_tried_one_by_one(stub_study, stub, faulty_disk, pulled):
    study = stub_study()
    training = stub(crash(3, [1], pulled()))
    study.command(job_disk=faulty_disk, training=training, stack=3)
    assert seeds_of(study, training.trained) == [(0, 1, 2), (0, 1, 2), (0,), (1,), (1,), (2,)]
    assert training.began_after[:3] == [0, 2, 0]
    assert [run.record.status for run in study.plan().runs] == ["finished", "failed", "finished"]


def test_no_retries(stub_study, stub, faulty_disk, pulled):
    study = stub_study()
    training = stub(crash(2, None, pulled()))
    study.command(job_disk=faulty_disk, training=training, stack=1, retries=0)
    assert len(training.trained) == 3
    assert {run.record.status for run in study.plan().runs} == {"failed"}


def test_a_damaged_checkpoint_is_skipped_with_a_message(stub_study, stub, pulled):
    study = stub_study()
    undisturbed = stub_study("undisturbed")
    undisturbed.command(stack=3)
    for damaged, began_after, epoch in ((1, 1, 1), (2, 0, None)):
        study = stub_study(f"damaged{damaged}")
        with pytest.raises(pulled):
            study.command(training=stub(crash(3, None, pulled())), stack=3)
        folder = Store(study.root).run_folder(study.plan().runs[0].fingerprint)
        for name in checkpoints.NAMES[:damaged]:
            data = bytearray((folder / name).read_bytes())
            data[len(data) // 2] ^= 1
            (folder / name).write_bytes(data)
        training = stub()
        events = study.command(training=training)
        assert training.began_after == [began_after]
        [found] = of_kind(events, CheckpointDamaged)
        assert (found.seeds, found.epoch, len(found.damage)) == ((0, 1, 2), epoch, damaged)
        assert "checkpoint.pt" in found.damage[0]
        assert study.results() == undisturbed.results()


def test_metrics_that_a_power_cut_took_are_trained_again(stub_study, stub, pulled):
    study = stub_study()
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, None, pulled())), stack=3)
    metrics = Store(study.root).run_folder(study.plan().runs[1].fingerprint) / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    training = stub()
    events = study.command(training=training)
    assert training.began_after == [0]
    [found] = of_kind(events, CheckpointDamaged)
    assert (len(found.damage), found.epoch) == (1, None)
    lines = [[line["epoch"] for line in Store(study.root).metrics(run.fingerprint)] for run in study.plan().runs]
    assert lines == [[1, 2, 3]] * 3


def test_metrics_are_on_the_disk_before_their_checkpoint_and_all_before_the_last_status(stub_study, faulty_disk):
    study, disk = stub_study(), faulty_disk()
    study.command(disk, stack=3)
    steps = [(operation, path.name) for operation, path in disk.operations]
    first = steps.index(("rename", "checkpoint.pt"))
    assert steps[:first].count(("sync", "metrics.jsonl")) == 3
    for run in study.plan().runs:
        mine = [(operation, path.name) for operation, path in disk.operations if run.fingerprint in str(path)]
        status = max(i for i, step in enumerate(mine) if step == ("rename", "status.json"))
        for step in (("rename", "last.pt"), ("rename", "best.pt"), ("sync", "metrics.jsonl")):
            assert step in mine[:status]


def test_a_run_whose_process_is_gone_is_not_running(stub_study, stub, pulled):
    study = stub_study()
    store = Store(study.root)
    seen = []

    def look(seeds, epoch):
        seen.append(store.record(study.plan().runs[0].fingerprint).status)
        if epoch == 2:
            raise pulled

    with pytest.raises(pulled):
        study.command(training=stub(look), stack=3)
    assert seen == ["running", "running"]
    record = store.record(study.plan().runs[0].fingerprint)
    assert (record.status, record.reason) == ("interrupted", "process no longer running")
    assert json.loads((store.run_folder(record.fingerprint) / "status.json").read_text())["status"] == "running"


def test_more_seeds_train_only_the_new_ones(stub_study, stub):
    study = stub_study(more=TWO, seeds=5)
    training = stub()
    study.command(training=training, stack=1)
    assert len(training.trained) == 10
    more = stub()
    study.command(training=more, recipe=stub_study(more=TWO, seeds=10).recipe, stack=1)
    assert len(more.trained) == 10
    assert not set(more.trained) & set(training.trained)
    # fewer seeds forget none of the others
    study.command(recipe=stub_study(more=TWO, seeds=2).recipe)
    assert find_spare(Store(study.root)) == []


def test_renaming_and_sharing_train_nothing(stub_study, stub):
    study = stub_study(more=TWO)
    study.command()
    training = stub()
    renamed = "variants:\n  - {name: deux, description: the same, set: {epochs: 2}}\n"
    study.command(training=training, recipe=stub_study(more=renamed).recipe)
    other = stub_study(more=TWO).recipe
    study.command(training=training, recipe=replace(other, study="other"))
    assert training.trained == []
    assert named_runs(Store(study.root).study("other")).items() <= named_runs(Store(study.root).study("stub")).items()


def test_designs_that_share_settings_train_them_once(stub_study, stub):
    """A ladder ends where a leave-one-out begins: with all tricks."""
    ladder = "variants:\n  - {name: first, set: {epochs: 2}}\n  - {name: both, set: {batch_size: 8}}\n"
    study, training = stub_study(more=ladder), stub()
    study.command(training=training, stack=1)
    assert len(training.trained) == 9
    without = """variants:
  - {name: all, set: {epochs: 2, batch_size: 8}}
  - {name: without first, from: one, set: {batch_size: 8}}
  - {name: without second, from: one, set: {epochs: 2}}
"""
    more = stub()
    recipe = replace(stub_study(more=without).recipe, study="leave-one-out")
    study.command(training=more, recipe=recipe, stack=1)
    assert {name for (name,) in more.trained} == {
        run.fingerprint for run in study.plan(recipe).runs if run.variant.name == "without first"
    }


def test_rows_of_one_plan_that_share_a_run_train_it_once(stub_study, stub):
    """Reading refuses such a recipe today; a plan would bear it."""
    study, training = stub_study(more=TWO), stub()
    one, two = study.recipe.variants
    recipe = replace(study.recipe, variants=(one, two, replace(two, name="three")))
    study.command(training=training, recipe=recipe, stack=1)
    assert len(training.trained) == len(set(training.trained)) == 6


def test_what_another_process_trains_is_left_to_it(stub_study, stub, faulty_disk):
    """Its slot takes other jobs first; when the lock is free and the run not finished, it is trained here."""
    study = stub_study()
    store = Store(study.root)
    first = study.plan().runs[0].fingerprint
    other = locks.take(store.disk, store.lock_file(first), wait=False)
    training = stub(lambda seeds, epoch: other.close() if seeds == (2,) and epoch == 3 else None)
    events = study.command(training=training, stack=1)
    assert seeds_of(study, training.trained) == [(1,), (2,), (0,)]
    assert len(study.finished()) == 3
    assert ended(events) == [1, 2, 0]


def test_a_stack_leaves_out_what_another_process_trains(stub_study, stub):
    study = stub_study()
    store = Store(study.root)
    other = locks.take(store.disk, store.lock_file(study.plan().runs[1].fingerprint), wait=False)
    training = stub(lambda seeds, epoch: other.close() if epoch == 3 else None)
    study.command(training=training, stack=3)
    assert seeds_of(study, training.trained) == [(0, 2), (1,)]


def test_what_another_process_has_finished_is_not_trained_again(stub_study, stub):
    """Two commands planned at the same time; the second to come finds all done, without starting anything."""
    study = stub_study()
    inner = stub()

    def other_command(seeds, epoch):
        if epoch == 1 and not inner.trained:
            study.command(training=inner, stack=1, recipe=stub_study(seeds="1,2").recipe)

    outer = stub(other_command)
    events = study.command(training=outer, stack=1)
    assert seeds_of(study, outer.trained) == [(0,)]
    assert seeds_of(study, inner.trained) == [(1,), (2,)]
    told = {event.seed: event.elsewhere for event in events if isinstance(event, RunEnded)}
    assert told == {0: False, 1: True, 2: True}


def test_fresh_trains_again_but_not_what_began_after_the_command(stub_study, stub):
    study = stub_study()
    study.command(stack=1)
    inner = stub()

    def other_command(seeds, epoch):
        if epoch == 1 and not inner.trained:
            study.command(training=inner, stack=1, fresh=True, recipe=stub_study(seeds="1,2").recipe)

    outer = stub(other_command)
    study.command(training=outer, stack=1, fresh=True)
    assert seeds_of(study, outer.trained) == [(0,)]
    assert seeds_of(study, inner.trained) == [(1,), (2,)]


def test_fresh_goes_on_from_its_own_checkpoint_after_a_death(stub_study, stub, faulty_disk, pulled):
    study = stub_study(seeds=1)
    study.command()
    training = stub(crash(3, None, pulled()))
    study.command(job_disk=faulty_disk, training=training, fresh=True)
    assert training.began_after == [0, 2]


def renamed_statuses(disk) -> list[int]:
    """The numbers of the operations by which statuses came into their place."""
    return [
        i for i, (operation, path) in enumerate(disk.operations) if (operation, path.name) == ("rename", "status.json")
    ]


def test_settled_seeds_of_a_stack_stay_as_they_are(stub_study, stub, faulty_disk, pulled):
    """Killed between the ends of two seeds: the stack goes on whole, and what had ended is not written again."""
    study = stub_study()
    disk = faulty_disk()
    study.command(disk, stack=3)
    last = renamed_statuses(disk)
    again = stub_study("again")
    with pytest.raises(pulled):
        again.command(faulty_disk(last[-2] + 1), stack=3)
    done = again.finished()
    assert len(done) == 1
    stamps = {
        path: path.stat().st_mtime_ns
        for name in done
        for path in Store(again.root).run_folder(name).iterdir()
        if not path.name.startswith(("checkpoint", "lock", "log", "settings", "identity"))
    }
    training = stub()
    events = again.command(training=training)
    assert training.began_after == [2]
    assert seeds_of(again, training.trained) == [(0, 1, 2)]
    assert again.results() == study.results()
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert sorted(ended(events)) == [0, 1, 2]


def test_code_that_changes_while_a_job_waits_is_not_trained_under_the_old_name(stub_study, stub, tmp_path):
    code = tmp_path / "own.py"
    code.write_text("def net(): return 1\n")
    study = stub_study(sets=["model={target: own:net}"], seeds=2)

    def edit(seeds, epoch):
        code.write_text("def net(): return 2\n")

    training = stub(edit)
    events = study.command(training=training, stack=1)
    assert len(training.trained) == 1
    assert [event.reason for event in events if isinstance(event, RunEnded) and event.status == "interrupted"] == [
        CHANGED
    ]
    study.command(training=training, stack=1)
    assert len(training.trained) == 3


def test_the_way_to_a_bad_rows_log_has_the_flags_that_it_takes(stub_study, stub, tmp_path):
    flags = {"sets": ["optimizer.lr=0.2"], "scale": 2.0, "only": "one", "seeds": 1}
    study = stub_study(**flags)
    study.command(training=stub(crash(1)))
    [sentence] = ended_badly(study.plan(), study.root)
    words = f"ablate logs {study.recipe.path} one --set optimizer.lr=0.2 --scale 2 --runs {study.root}"
    assert sentence.endswith(f": {words}")
    assert run_command(shlex.split(words)[1:]) == 0
    assert "--runs" not in ended_badly(study.plan(), Path("runs"))[0]


def test_names_that_are_not_utf_8_are_kept(stub_study, stub, tmp_path):
    """Linux's names of files are bytes, which Python shows as halves of characters."""
    study = stub_study(seeds=1)
    study.recipe = replace(study.recipe, path=tmp_path / "caf\udce9.yaml")
    study.command(training=stub(crash(1, error=ValueError("no such file: caf\udce9"))))
    [run] = study.plan().runs
    assert (run.record.status, run.record.reason.partition(" (")[0]) == ("failed", "no such file: caf\udce9")
    assert Store(study.root).study("stub")["recipe"] == str(study.recipe.path)


def test_longest_jobs_come_first(stub_study, stub):
    rows = "variants:\n  - {name: two, set: {epochs: 9}}\n  - {name: three, from: one, set: {epochs: 5}}\n"
    study, training = stub_study(more=rows, seeds=1), stub()
    study.command(training=training)
    row = {run.fingerprint: run.variant.name for run in study.plan().runs}
    assert [row[stack[0]] for stack in training.trained] == ["two", "three", "one"]
    # a row's own pace counts for more than its epochs
    store = Store(study.root)
    for run in study.plan().runs:
        seconds = {"one": 300.0, "two": 0.9, "three": 5.0}[run.variant.name]
        path = store.run_folder(run.fingerprint) / "status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": seconds}))
    more = stub()
    again = stub_study(more=rows, seeds=2)
    study.command(training=more, recipe=again.recipe)
    row = {run.fingerprint: run.variant.name for run in study.plan(again.recipe).runs}
    assert [row[stack[0]] for stack in more.trained] == ["one", "three", "two"]


def test_clean_removes_what_no_study_names_and_nothing_that_is_trained(stub_study, stub):
    study = stub_study(more=TWO)
    study.command()
    store = Store(study.root)
    study.command(recipe=stub_study(more="variants:\n  - {name: two, set: {epochs: 4}}\n").recipe)
    old = {run.fingerprint for run in study.plan().runs if run.variant.name == "two"}
    locked = min(old)
    other = locks.take(store.disk, store.lock_file(locked), wait=False)
    spare = find_spare(store)
    assert {one.run for one in spare} == old
    assert [one.run for one in spare if one.busy] == [locked]
    assert all(one.bytes > 1000 for one in spare)
    assert {one.run for one in clean(store)} == old - {locked}
    other.close()
    assert {one.run for one in clean(store)} == {locked}
    assert len(list((study.root / "store").iterdir())) == 6


def test_clean_keeps_what_the_rest_of_a_stack_goes_on_from(stub_study, stub, faulty_disk, pulled):
    """Its first seed has finished, in whose folder the checkpoint of the whole stack is."""
    study, disk = stub_study(), faulty_disk()
    study.command(disk, stack=3)
    last = renamed_statuses(disk)
    again = stub_study("again")
    with pytest.raises(pulled):
        again.command(faulty_disk(last[-2] + 1), stack=3)
    assert [run.record.status for run in again.plan().runs] == ["finished", "interrupted", "interrupted"]
    store = Store(again.root)
    assert [one for one in clean(store) if one.kind != "half-written"] == []
    training = stub()
    again.command(training=training)
    assert training.began_after == [2]
    for name in checkpoints.NAMES:
        (store.run_folder(again.plan().runs[0].fingerprint) / name).write_bytes(b"left behind")
    assert {one.path.name for one in clean(store)} == set(checkpoints.NAMES)


@pytest.mark.parametrize("name", ["networks.json", "ensembles.json", "provenance.json", "identity.json"])
def test_a_file_that_a_power_cut_left_empty_stops_no_command(stub_study, monkeypatch, name):
    study = stub_study(more="watch: [gradient_norm]\n", seeds=2)
    study.command()
    store = Store(study.root)
    for folder in [*(study.root / "store").iterdir(), study.root / "stub"]:
        (folder / name).write_bytes(b"")
    monkeypatch.setattr("ablate.execution.ensembles.ask", lambda *_: [{"valid_loss": 0.5}])
    assert [one.together for one in ensembles(study.plan(), store)] == [{"valid_loss": 0.5}]
    path = study.recipe.path
    path.write_text(path.read_text().replace("lr: 0.1", "lr: 0.2"))
    plan = study.plan(type(study.recipe).load(path, seeds=2))
    [note] = changed(plan, store)
    assert (note.kind, note.variant) == ("stale", "one")
    assert untracked(study.plan(), store) == [Note("not_tracked", "one", values={"metrics": ["gradient_norm"]})]
    assert known_networks(plan, store) == {}
    study.command(fresh=True)
    assert {run.record.status for run in study.plan().runs} == {"finished"}


def test_what_is_not_finite_is_said_of_its_own_seed(stub_study, stub):
    """The seeds of a stack end one after another, and share their other notes."""

    class Undefined(stub):
        def __call__(self, job, report, state):
            ended = report.ended

            def end(replica, outcome):
                last = {"valid_loss": 1.0, "auc": float("nan") if replica == 0 else 0.5}
                ended(replica, replace(outcome, results={"last": last}))

            report.ended = end
            super().__call__(job, report, state)

    study = stub_study()
    study.command(training=Undefined(), stack=3)
    notes = [run.record.notes for run in study.plan().runs]
    assert notes == [
        (STUB, Note("not_finite", values={"metric": "auc", "value": "nan", "at": "last"})),
        (STUB,),
        (STUB,),
    ]


def test_a_trial_under_other_flags_stays_until_the_recipe_is_cleaned(stub_study):
    study = stub_study()
    study.command()
    trial = stub_study(sets=["epochs=2"])
    study.command(recipe=trial.recipe)
    store = Store(study.root)
    assert find_spare(store) == []
    assert {one.run for one in find_spare(store, study.recipe)} == {
        run.fingerprint for run in study.plan(trial.recipe).runs
    }
    clean(store, study.recipe)
    assert len(study.finished()) == len(list((study.root / "store").iterdir())) == 3


def test_a_study_that_cannot_be_read_stops_cleaning(stub_study):
    study = stub_study()
    study.command()
    (study.root / "stub" / "study.json").write_text("{")
    with pytest.raises(ValueError, match="its runs cannot be determined"):
        clean(Store(study.root))
    with pytest.warns(StoreWarning, match=r"study\.json.* is damaged"):
        study.command()
    assert clean(Store(study.root)) == []


class Swept(Disk):
    """A disk on which a folder is removed between the creation of its lock and the check that it is there."""

    swept = False

    def create(self, path):
        file = super().create(path)
        if not self.swept:
            self.swept = True
            path.parent.rename(path.parent.with_name("gone"))
            shutil.rmtree(path.parent.with_name("gone"))
        return file


def test_a_lock_on_a_removed_folder_is_nobodys_lock(tmp_path):
    """Whoever locks while the folder goes locks the new file, not the one that is gone."""
    path, disk = Store(tmp_path).lock_file("a"), Swept()
    disk.root = tmp_path
    held = locks.take(disk, path, wait=False)
    assert path.with_name("lock.1").exists()
    assert locks.is_held(Store(tmp_path).disk, path)
    held.close()
    assert not locks.is_held(Store(tmp_path).disk, path)


def test_a_stack_that_began_waits_for_all_of_its_seeds(stub_study, stub, pulled):
    study = stub_study()
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, [0], pulled())), stack=2)
    store = Store(study.root)
    other = locks.take(store.disk, store.lock_file(study.plan().runs[1].fingerprint), wait=False)
    training = stub(lambda seeds, epoch: other.close() if epoch == 3 else None)
    study.command(training=training)
    assert seeds_of(study, training.trained) == [(2,), (0, 1)]
    assert training.began_after == [0, 2]


def test_asked_to_end_a_job_saves_at_the_end_of_its_epoch(stub_study, stub):
    study = stub_study(seeds=1)
    _, job = jobs_of(study)
    ending = Ending()

    def ask(seeds, epoch):
        if epoch == 2:
            ending.ask("interrupted")

    events = []
    run_job(job, Store(study.root), events.append, training=stub(ask), ending=ending)
    assert (events[-1].status, events[-1].epoch) == ("interrupted", 2)
    training = stub()
    study.command(training=training)
    assert training.began_after == [2]


def test_asked_to_end_nothing_is_cut_short_while_it_is_written():
    ending = Ending()
    done = []

    def write():
        with ending.shield():
            ending.ask("timeout")
            done.append("written")

    with pytest.raises(EndAsked) as asked:
        write()
    assert done == ["written"]
    assert asked.value.status == "timeout"
    ending = Ending()
    ending.training = True
    ending.ask("interrupted")  # an epoch is under way: wait for its end
    with pytest.raises(EndAsked):
        ending.saved()


def jobs_of(study, which=0):
    from ablate.execution.jobs import make_jobs

    store = Store(study.root)
    plan = study.plan()
    jobs = make_jobs(plan.to_do(), plan, store, Provenance())
    return plan, jobs[which]


class Unresponsive:
    """Processes that do nothing until they are killed."""

    losses, title = 3, ""

    def __init__(self):
        self.heard = []

    def submit(self, job):
        self.heard.append(RunStarted(**job.run_of(0), epochs=1))

    def cancel(self, number):
        self.heard.append(ProcessExited(job=number, code=-9))

    def poll(self, wait):
        assert wait is not None or self.heard
        heard, self.heard = self.heard, []
        return heard

    def close(self):
        pass


def test_a_job_that_ignores_its_timeout_is_killed_and_not_tried_again(stub_study, monkeypatch):
    study = stub_study(seeds=2)
    monkeypatch.setattr("ablate.execution.scheduler.OVERTIME", 0.0)
    _, job = jobs_of(study)
    jobs = [replace(job, timeout=0.01)]
    events = list(Scheduler(["cpu"], Store(study.root), executor=Unresponsive()).run(jobs))
    assert kinds(events) == ["RunStarted", "timeout"]
    record = Store(study.root).record(job.fingerprints[0])
    assert (record.status, record.reason) == ("timeout", "not finished after 0.01 s, and did not respond to signals")


class Dying(Unresponsive):
    """A server that dies with all its jobs whenever it is listened to; ``times`` times, then its jobs end as they
    should.
    """

    def __init__(self, times, stub_events):
        super().__init__()
        self.times, self.stub_events, self.starts = times, stub_events, 0

    def submit(self, job):
        self.starts += 1
        self.number = job.number
        self.heard = self.stub_events(job)

    def poll(self, wait):
        if self.times:
            self.times -= 1
            return [ProcessExited(job=self.number, code=-9, infrastructure=True)]
        heard, self.heard = self.heard, []
        return heard


def test_jobs_outlive_the_server_they_were_forked_from(stub_study):
    study = stub_study(seeds=1)
    _, job = jobs_of(study)

    def done(job):
        return [RunEnded(**job.run_of(0), status="finished"), ProcessExited(job=job.number, code=0)]

    executor = Dying(1, done)
    events = list(Scheduler(["cpu"], Store(study.root), executor=executor).run([job]))
    assert executor.starts == 2
    assert kinds(events) == ["JobRetried", "finished"]
    executor = Dying(5, done)
    with pytest.raises(ExecutorError, match="ended 3 times in a row without any progress"):
        list(Scheduler(["cpu"], Store(study.root), executor=executor, retries=0).run([job]))
    assert executor.starts == 3
    assert study.plan().runs[0].record.status == "queued"


class Sequence:
    """What happens before an epoch, one thing after another; nothing more at the end."""

    def __init__(self, at_epoch, *ends):
        self.at_epoch, self.ends = at_epoch, [*ends]

    def __call__(self, seeds, epoch):
        if epoch == self.at_epoch and self.ends:
            raise self.ends.pop(0)()


def test_a_death_of_what_runs_the_jobs_is_not_the_jobs(stub_study, stub, faulty_disk, pulled, lost):
    """One death of its own is the most that a job may have here: stack and checkpoint stay nevertheless."""
    undisturbed = stub_study("undisturbed")
    undisturbed.command(stack=3)
    study = stub_study()
    training = stub(Sequence(3, pulled, lost, lost))
    events = study.command(job_disk=faulty_disk, training=training, stack=3)
    assert seeds_of(study, training.trained) == [(0, 1, 2)] * 4
    assert training.began_after == [0, 2, 2, 2]
    assert study.results() == undisturbed.results()
    reasons = [event.reason for event in of_kind(events, JobRetried)]
    assert reasons[1:] == ["the server that runs it ended with signal 9"] * 2


def test_deaths_without_end_of_what_runs_the_jobs_end_the_command_and_lose_nothing(stub_study, stub, faulty_disk, lost):
    study = stub_study()
    training = stub(Sequence(3, lost, lost, lost, lost))
    with pytest.raises(ExecutorError):
        study.command(job_disk=faulty_disk, training=training, stack=3)
    assert {run.record.status for run in study.plan().runs} == {"interrupted"}
    training = stub()
    study.command(training=training)
    assert training.began_after == [2]
    assert len(study.finished()) == 3


def test_deaths_of_what_runs_the_jobs_are_counted_anew_once_a_job_comes_further(stub_study, stub, faulty_disk, lost):
    study = stub_study()
    ends = iter([1, 1, 2, 2, 3, 3])
    at = {"epoch": next(ends)}

    def before_epoch(seeds, epoch):
        if epoch == at["epoch"]:
            at["epoch"] = next(ends, None)
            raise lost

    study.command(job_disk=faulty_disk, training=stub(before_epoch), stack=3, retries=0)
    assert len(study.finished()) == 3


def test_seeds_that_a_stack_was_split_into_say_so(stub_study, stub, faulty_disk, pulled):
    """Their numbers differ slightly from those that the stack would have had."""
    study = stub_study()
    study.command(job_disk=faulty_disk, training=stub(Sequence(3, pulled, pulled)), stack=3)
    reason = "its process ended with signal 9, possibly because the machine ran out of memory"
    note = Note("not_stacked", values={"reason": reason})
    assert [run.record.notes for run in study.plan().runs] == [(STUB, note)] * 3
    assert not list(study.root.rglob("checkpoint*"))
    study = stub_study("failed")
    study.command(training=stub(Sequence(2, RuntimeError)), stack=3)
    assert {note.kind for run in study.plan().runs for note in run.record.notes} == {"text", "not_stacked"}
    # trained anew, they are what they are
    study.command(fresh=True, stack=3)
    assert [run.record.notes for run in study.plan().runs] == [(STUB,)] * 3


def test_a_split_is_remembered_by_a_seed_that_goes_on(stub_study, stub, faulty_disk, pulled):
    study = stub_study(seeds=2)
    with pytest.raises(pulled):
        study.command(training=stub(Sequence(2, RuntimeError, pulled)), stack=2)
    study.command(stack=2)
    assert [[note.kind for note in run.record.notes] for run in study.plan().runs] == [["text", "not_stacked"]] * 2


def test_a_job_that_dies_before_its_training_began_is_tried_again_by_the_next_command(
    stub_study, stub, faulty_disk, pulled
):
    study = stub_study()

    def dies(job, report, state):
        raise pulled

    events = study.command(job_disk=faulty_disk, training=dies, stack=3)
    left = [run.record for run in study.plan().runs]
    assert {(record.status, record.finished) for record in left} == {("interrupted", None)}
    assert all(record.reason.startswith("its process ended with signal 9") for record in left)
    assert [event.status for event in of_kind(events, RunEnded)] == ["interrupted"] * 3
    study.command()
    assert len(study.finished()) == 3


@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "no more processes"), RuntimeError("can't start new thread")])
def test_what_the_system_refuses_before_the_training_fails_nothing_for_good(stub_study, stub, error):
    study = stub_study(seeds=2)

    def refused(job, report, state):
        raise error

    study.command(training=refused, stack=2)
    assert {run.record.status for run in study.plan().runs} == {"interrupted"}
    study.command(training=stub(crash(2, error=error)), stack=2)  # it may be the user's code
    assert {run.record.status for run in study.plan().runs} == {"failed"}


class Crowded(Unresponsive):
    """A machine with room for ``most`` processes."""

    def __init__(self, most):
        super().__init__()
        self.most, self.running = most, []

    def submit(self, job):
        if len(self.running) == self.most:
            self.heard.append(NotStarted(job=job.number, reason="no more processes"))
        else:
            self.running.append(job)

    def poll(self, wait):
        if not self.heard:
            job = self.running.pop(0)
            ended = RunEnded(**job.run_of(0), status="finished")
            self.heard += [ended, ProcessExited(job=job.number, code=0)]
        heard, self.heard = self.heard, []
        return heard


def test_where_the_system_starts_no_more_processes_fewer_jobs_run_at_once(stub_study):
    study = stub_study(seeds=3)
    jobs = [jobs_of(study, i)[1] for i in range(3)]
    events = list(Scheduler(["cpu"] * 3, Store(study.root), executor=Crowded(1)).run(jobs))
    assert sorted(ended(events)) == [0, 1, 2]
    with pytest.raises(ExecutorError, match=r"^No process can be started for a job: no more processes\. "):
        list(Scheduler(["cpu"] * 3, Store(study.root), executor=Crowded(0)).run(jobs))
    assert {run.record.status for run in study.plan().runs} == {"queued"}


def attempts(study):
    return [run.record.attempt for run in study.plan().runs]


def test_attempts_have_numbers(stub_study, stub, faulty_disk, pulled):
    study = stub_study()
    study.command(stack=3)
    assert attempts(study) == [1, 1, 1]
    with pytest.raises(pulled):
        study.command(training=stub(crash(3, None, pulled())), stack=3, fresh=True)
    assert attempts(study) == [2, 2, 2]
    study.command()  # goes on from the checkpoint
    assert attempts(study) == [2, 2, 2]
    study.command(fresh=True, recipe=stub_study(seeds="1,").recipe)
    assert attempts(study) == [2, 3, 2]
    with pytest.raises(pulled):
        study.command(training=stub(crash(1, None, pulled())), fresh=True, stack=1)
    study.command(stack=1)  # there is no checkpoint
    assert attempts(study) == [4, 3, 2]
    for path in (study.root / "store").rglob("status.json"):  # written by an earlier version
        status = json.loads(path.read_text())
        del status["attempt"]
        path.write_text(json.dumps(status))
    assert attempts(study) == [1, 1, 1]


def in_the_future(study):
    """As if the clock had been corrected, or the store was copied from a machine whose clock is ahead."""
    for path in (study.root / "store").rglob("status.json"):
        status = json.loads(path.read_text())
        times = {name: status[name] + 1e7 for name in ("started", "finished", "heartbeat") if status[name]}
        path.write_text(json.dumps(status | times))


@pytest.mark.parametrize("stack", [1, 3])
def test_runs_that_ended_in_the_future_are_trained_again_where_that_is_asked_for(stub_study, stub, stack):
    study = stub_study()
    study.command(training=stub(crash(2, [1])), stack=stack)
    in_the_future(study)
    training = stub()
    study.command(training=training, retry_failed=True, stack=stack)
    assert seeds_of(study, training.trained) == [(1,)]
    assert len(study.finished()) == 3
    in_the_future(study)
    training = stub()
    events = study.command(training=training, fresh=True, stack=stack)
    assert sorted(seed for seeds in seeds_of(study, training.trained) for seed in seeds) == [0, 1, 2]
    assert not any(event.elsewhere for event in of_kind(events, RunEnded))


def test_a_stack_that_timed_out_in_the_future_goes_on_where_that_is_asked_for(stub_study, stub):
    study = stub_study()
    ask = {"end": True}

    class Slow(stub):
        def __call__(self, job, report, state):
            report.ending.asked = "timeout" if ask["end"] else None
            super().__call__(job, report, state)

    study.command(training=Slow(), stack=3, timeout=1)
    assert {run.record.status for run in study.plan().runs} == {"timeout"}
    in_the_future(study)
    ask["end"] = False
    training = Slow()
    study.command(training=training, stack=3)
    assert training.trained == []
    study.command(training=training, stack=3, retry_failed=True)
    assert training.began_after == [1]
    assert attempts(study) == [2, 2, 2]
    assert len(study.finished()) == 3


def test_a_clock_that_is_set_back_during_training_breaks_nothing(stub_study, stub, monkeypatch, pulled):
    undisturbed = stub_study("undisturbed")
    undisturbed.command(stack=3)
    study = stub_study()
    clock = time.time()
    monkeypatch.setattr("time.time", lambda: clock)

    def set_back(seeds, epoch):
        nonlocal clock
        clock -= 1e6
        if epoch == 3:
            raise pulled

    with pytest.raises(pulled):
        study.command(training=stub(set_back), stack=3, fresh=True)
    training = stub(lambda *_: None)
    study.command(training=training)
    assert training.began_after == [2]
    assert study.results() == undisturbed.results()
    for run in study.plan().runs:
        assert run.record.finished >= run.record.started
        assert run.record.seconds >= 0


def stale(variant, *settings):
    """The note about a variant whose settings have changed: name, old value, new value."""
    found = [{"what": "setting", "name": name, "old": old, "new": new} for name, old, new in settings]
    return Note("stale", variant, values={"differences": found})


def test_changes_are_told_with_their_reasons(stub_study):
    study = stub_study(more=TWO)
    assert changed(study.plan(), Store(study.root)) == []
    study.command(recipe=stub_study(seeds=2).recipe)

    def told(more="", **flags):
        recipe = stub_study(more=more, **flags).recipe
        return changed(study.plan(recipe), Store(study.root))

    more = Note("more_runs", "one", values={"count": 1, "unit": "seed"})
    assert told() == [more]
    assert told(TWO) == [more, Note("new", "two")]
    study.command(recipe=stub_study(more=TWO).recipe)
    assert told(TWO) == []
    assert told(TWO.replace("epochs: 2", "epochs: 2, optimizer.lr: 0.2")) == [stale("two", ("optimizer.lr", 0.1, 0.2))]
    # an edited recipe, as opposed to a trial under other flags
    edited = stub_study(more=TWO).recipe
    text = edited.path.read_text().replace("hidden: [4]", "hidden: [5]").replace("lr: 0.1", "lr: 0.3, momentum: 0.5")
    edited.path.write_text(text)
    edited = type(edited).load(edited.path)
    found = ("model.hidden", [4], [5]), ("optimizer.lr", 0.1, 0.3), ("optimizer.momentum", 0.9, 0.5)
    assert changed(study.plan(edited), Store(study.root)) == [stale("one", *found), stale("two", *found)]
    assert {run.record.status for run in study.plan(edited).runs} == {"stale"}


def test_a_default_that_is_new_is_no_reason(stub_study, monkeypatch):
    study = stub_study(more=TWO)
    study.command()
    whole = Store.identity

    def older(store, fingerprint):
        known = json.loads(json.dumps(whole(store, fingerprint)))
        del known["settings"]["optimizer"]["nesterov"]  # as recorded by a version that did not know it
        return known

    monkeypatch.setattr(Store, "identity", older)
    edited = stub_study(more=TWO.replace("epochs: 2", "epochs: 2, optimizer.lr: 0.2")).recipe
    assert changed(study.plan(edited), Store(study.root)) == [stale("two", ("optimizer.lr", 0.1, 0.2))]


def test_changed_data_and_code_are_told_apart(stub_study, tmp_path):
    (tmp_path / "own.py").write_text("def net(): return 1\n")
    study = stub_study(sets=["model={target: own:net}"], seeds=1)
    study.command()
    (tmp_path / "own.py").write_text("def net(): return 2\n")
    [note] = changed(study.plan(), Store(study.root))
    assert note.values == {"differences": [{"what": "code", "name": "own:net"}]}
    (tmp_path / "own.py").write_text("def net(): return 1  # as before\n")
    assert changed(study.plan(), Store(study.root)) == []
    assert len(study.finished()) == 1


def test_other_code_is_no_changed_code(study_in, tmp_path):
    (tmp_path / "own.py").write_text("def net(): return 1\ndef other(): return 1\n")
    text = "data: digits\nbaseline: {name: a, model: {target: own:net}, loss: cross_entropy, optimizer: sgd}\n"
    for number, code in enumerate((text, text.replace("own:net", "own:other"))):
        (tmp_path / "r.yaml").write_text(code)
        study = study_in(tmp_path / "runs", Recipe.load(tmp_path / "r.yaml", seeds=1))
        if number == 0:
            study.command()
    [note] = changed(study.plan(), Store(study.root))
    assert [one["name"] for one in note.values["differences"]] == ["model.target"]
