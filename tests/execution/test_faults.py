"""A fault at every single write of a study: the next command completes with exactly what an undisturbed one leaves."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from ablate.planning.cleaning import clean
from ablate.store.disk import DiskError
from ablate.store.store import Store

GROWS = ("make folder", "write", "open", "add")
"""Operations that need room on the disk."""


def no_space(operation):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if operation in GROWS else None


def read_only(operation):
    return OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.fixture
def undisturbed(stub_study, faulty_disk):
    """The results of a study that nothing disturbed, and how many writes it took."""
    study = stub_study("undisturbed")
    disk = faulty_disk()
    study.command(disk)
    results = study.results()
    assert len(results) == 3
    assert disk.count > 100
    return results, disk.count


@pytest.mark.slow
def test_pulling_the_plug_at_every_write(undisturbed, stub_study, stub, faulty_disk, pulled):
    results, count = undisturbed
    for at in range(1, count + 1):
        study = stub_study("pulled")
        with pytest.raises(pulled):
            study.command(faulty_disk(at))
        done = study.finished()
        states = {run.record.status for run in study.plan().runs}
        assert states <= {"queued", "interrupted", "finished"}, at
        training = stub()
        study.command(training=training)
        assert study.results() == results, f"after a plug pulled at write {at}"
        for stack in training.trained:
            assert not set(stack) <= done, f"trained again after write {at}"
        clean(Store(study.root))
        assert not list(study.root.rglob("checkpoint*")), at
        assert not [path for path in study.root.rglob(".*")], at
        shutil.rmtree(study.root)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [no_space, read_only])
def test_a_disk_that_fails_at_every_write(undisturbed, stub_study, faulty_disk, fault):
    results, count = undisturbed
    told = set()
    for at in range(1, count + 1):
        study = stub_study("failing")
        disk = faulty_disk(at, fault)
        try:
            study.command(disk)
        except DiskError as error:
            told.add(str(error).partition(" cannot be written: ")[2])
        else:
            # nothing that the fault hits came after
            assert all(fault(operation) is None for operation, _ in disk.operations[at - 1 :]), at
        done = study.finished()
        assert {run.record.status for run in study.plan().runs} <= {"queued", "interrupted", "finished"}, at
        study.command()
        assert study.finished() >= done
        assert study.results() == results, f"after a fault at write {at}"
        shutil.rmtree(study.root, ignore_errors=True)
    assert len(told) == 1, told


def test_a_job_that_dies_at_every_write_is_tried_again(undisturbed, stub_study, faulty_disk):
    """The command goes on: no second one is needed."""
    results, count = undisturbed
    for at in range(1, count // 2):
        study = stub_study("died")
        disks = iter([faulty_disk(at)])
        study.command(job_disk=lambda disks=disks: next(disks, None) or faulty_disk())
        assert study.results() == results, f"after a death at write {at} of a job"
        shutil.rmtree(study.root)


def test_two_faults_in_a_row(undisturbed, stub_study, faulty_disk, pulled):
    """The repair is disturbed as well, at every third write."""
    results, count = undisturbed
    for at in range(5, count, 11):
        study = stub_study("twice")
        with pytest.raises(pulled):
            study.command(faulty_disk(at))
        for again in range(2, count, 37):
            try:
                study.command(faulty_disk(again))
            except pulled:
                continue
        study.command()
        assert study.results() == results, (at, again)
        shutil.rmtree(study.root)


def test_pulling_the_plug_while_training_afresh(undisturbed, stub_study, faulty_disk, pulled):
    """What is being cleared away is never taken for a finished run."""
    results, _ = undisturbed
    study, disk = stub_study("afresh"), faulty_disk()
    study.command()
    study.command(disk, fresh=True)
    for at in range(1, disk.count + 1, 2):
        with pytest.raises(pulled):
            study.command(faulty_disk(at), fresh=True)
        study.command()
        # a run that was finished while its neighbour was cleared away leaves it to train alone
        assert without_stack(study.results()) == without_stack(results), f"after a plug pulled at write {at}"


def without_stack(results):
    return {name: ({**status, "stack": None}, *rest) for name, (status, *rest) in results.items()}
