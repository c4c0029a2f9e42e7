"""Locks between machines: simulated ones with clocks and boot numbers of their own, and real processes that race."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate import machine
from ablate.machine import Machine
from ablate.store import locks, owners
from ablate.store.records import RunRecord
from ablate.store.store import Store

HERE, THERE = (Machine(name, f"id-{name}", f"boot-{name}", "pid:[1]") for name in ("here", "there"))
RUN = "0" * 32


class World:
    """Which machine asks, and what its own clock says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine, self.now = HERE, 0.0
        monkeypatch.setattr(owners, "this_machine", lambda: self.machine)
        monkeypatch.setattr(locks.time, "monotonic", lambda: self.now)

    def on(self, machine: Machine) -> None:
        self.machine = machine


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


@pytest.fixture
def stores(tmp_path):
    return Store(tmp_path), Store(tmp_path)


def lock_of(store: Store):
    return locks.take(store.disk, store.lock_file(RUN), wait=False)


def wait_in_vain(store: Store, world: World, seconds: float) -> None:
    """Look as a command does, until its clock has moved on by so much."""
    until = world.now + seconds
    while world.now <= until:
        assert store.is_claimed(RUN)
        world.now += 1


class TestAnOwnerOnAnotherMachine:
    def test_holds_while_it_beats_and_not_for_ever(self, world, stores):
        ours, theirs = stores
        world.on(THERE)
        held = lock_of(theirs)
        world.on(HERE)
        wait_in_vain(ours, world, owners.EXPIRY - 5)
        world.on(THERE)
        theirs.beat([RUN], os.getpid())
        world.on(HERE)
        wait_in_vain(ours, world, owners.EXPIRY - 1)
        world.now += 1
        assert not ours.is_claimed(RUN)
        with ours.claim([RUN]) as claim:
            assert claim is not None
            assert claim.is_ours()
            assert not held.is_ours()

    def test_says_at_once_when_it_is_done(self, world, stores):
        ours, theirs = stores
        world.on(THERE)
        held = lock_of(theirs)
        world.on(HERE)
        assert ours.is_claimed(RUN)
        held.close()
        assert not ours.is_claimed(RUN)

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_may_have_a_clock_that_is_wrong(self, world, stores, hours):
        """The times of files come from its clock; only that they change matters."""
        ours, theirs = stores
        world.on(THERE)
        lock_of(theirs)
        file = theirs.lock_file(RUN).with_name("lock.1")
        world.on(HERE)
        for beat in range(20):
            moment = time.time() + 3600 * hours + 10 * beat
            os.utime(file, (moment, moment))
            wait_in_vain(ours, world, 10)
        wait_in_vain(ours, world, owners.EXPIRY - 12)
        world.now += 1
        assert not ours.is_claimed(RUN)

    def test_that_was_only_paused_reaches_nothing_any_more(self, world, stores):
        ours, theirs = stores
        world.on(THERE)
        with theirs.claim([RUN]) as paused:
            theirs.write_status(RunRecord(RUN, 0, status="running", epoch=3))
            log = theirs.append_to(RUN, "metrics.jsonl")
            theirs.append_line(log, {"epoch": 1})
            world.on(HERE)
            wait_in_vain(ours, world, owners.EXPIRY - 1)
            world.now += 1
            with ours.claim([RUN]) as claim:
                ours.write_status(RunRecord(RUN, 0, status="running", epoch=4))
                assert paused is not None
                assert not paused.is_ours()
                theirs.append_line(log, {"epoch": 2})
                with pytest.raises(OSError, match="No such file"):
                    theirs.write_status(RunRecord(RUN, 0, status="finished", epoch=9))
                assert claim is not None
                assert claim.is_ours()
                assert [line["epoch"] for line in ours.metrics(RUN)] == [1]
                assert ours.record(RUN).epoch == 4
            log.close()
        assert os.listdir(ours.root / "store") == [RUN]

    def test_whose_machine_was_restarted_has_ended(self, world, stores):
        ours, theirs = stores
        world.on(Machine("here", "id-here", "boot-before", "pid:[1]"))
        lock_of(theirs)
        world.on(HERE)
        assert not ours.is_claimed(RUN)


class TestWithoutLocksOfTheFileSystem:
    @pytest.fixture(autouse=True)
    def no_flock(self, monkeypatch):
        def refused(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(locks.fcntl, "flock", refused)

    def test_the_process_decides(self, stores, world):
        ours, theirs = stores
        world.on(HERE)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        lock = lock_of(theirs)
        owner = owners.Owner(HERE, child.pid, machine.born(child.pid))
        Path(lock.file.name).write_bytes(owners.words_of(owner))
        assert ours.is_claimed(RUN)
        child.kill()
        child.wait()
        assert not ours.is_claimed(RUN)

    def test_another_process_with_the_same_number_is_not_the_owner(self, stores, world):
        ours, theirs = stores
        lock = lock_of(theirs)
        Path(lock.file.name).write_bytes(owners.words_of(owners.Owner(HERE, os.getpid(), "1")))
        assert not ours.is_claimed(RUN)

    def test_numbers_of_another_container_say_nothing(self, stores, world):
        ours, theirs = stores
        world.on(Machine("box", "", HERE.boot, "pid:[2]"))
        lock_of(theirs)
        world.on(HERE)
        wait_in_vain(ours, world, owners.EXPIRY - 1)


class TestAQueuedJob:
    def test_is_waited_for_without_end_and_only_it_begins(self, world, stores):
        ours, theirs = stores
        assert theirs.queue([RUN], "job-7")
        world.on(THERE)
        for _ in range(3):
            assert ours.is_claimed(RUN)
            world.now += 1e6
        assert not ours.queue([RUN], "job-8")
        assert ours.owner(RUN).queued
        with ours.claim([RUN], "job-8") as claim:
            assert claim is None
        with ours.claim([RUN], "job-7") as claim:
            assert claim is not None
            assert not ours.owner(RUN).queued
        assert not ours.is_claimed(RUN)

    def test_that_will_not_come_is_given_back(self, world, stores):
        ours, theirs = stores
        theirs.queue([RUN], "job-7")
        ours.release(RUN, "job-6")
        assert ours.is_claimed(RUN)
        ours.release(RUN, "job-7")
        assert not ours.is_claimed(RUN)

    def test_begins_again_on_another_node_at_once(self, world, stores):
        ours, theirs = stores
        world.on(THERE)
        with theirs.claim([RUN], "job-7") as lost:
            world.on(HERE)
            with ours.claim([RUN]) as claim:
                assert claim is None
            with ours.claim([RUN], "job-7") as claim:
                assert claim is not None
                assert not lost.is_ours()

    def test_all_runs_or_none(self, stores, world):
        ours, theirs = stores
        other = "1" * 32
        theirs.queue([other], "job-7")
        assert not ours.queue([RUN, other], "job-8")
        assert not ours.is_claimed(RUN)


def test_what_a_kill_left_between_two_names_is_completed(world, stores, monkeypatch):
    """A copy is complete before the folder itself goes."""
    ours, theirs = stores
    world.on(THERE)
    lock_of(theirs)
    theirs.write_status(RunRecord(RUN, 0, status="running", epoch=4))
    world.on(HERE)
    wait_in_vain(ours, world, owners.EXPIRY - 1)
    world.now += 1
    rename, left = ours.disk.rename, [1]

    def killed(old, new):
        if not left.pop():
            raise KeyboardInterrupt
        left.append(0)
        rename(old, new)

    monkeypatch.setattr(ours.disk, "rename", killed)
    with pytest.raises(KeyboardInterrupt), ours.claim([RUN]):
        pass
    assert not ours.run_folder(RUN).exists()
    with theirs.claim([RUN]):
        assert theirs.record(RUN).epoch == 4


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"machine": 3, "pid": "x"}', b"\xff" * 10_000])
def test_a_damaged_lock_blocks_no_run_for_ever(stores, world, text):
    ours, _ = stores
    ours.write_status(RunRecord(RUN, 0))
    ours.lock_file(RUN).with_name("lock.5").write_bytes(text)
    ours.is_claimed(RUN)
    world.now += owners.EXPIRY
    with ours.claim([RUN]) as claim:
        assert claim is not None


RACE = """
import errno, fcntl, os, sys, time
from pathlib import Path
from ablate.store import locks, owners
from ablate.store.store import Store

root, without = Path(sys.argv[1]), sys.argv[2] == "without"
if without:
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    locks.fcntl.flock = refused
store, me = Store(root), os.getpid()
book = os.open(root / "book", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
until = time.monotonic() + 8
while time.monotonic() < until:
    with store.claim(["a", "b"]) as claim:
        if claim:
            os.write(book, b"%d in\\n" % me)
            time.sleep(0.001)
            os.write(book, b"%d out\\n" % me)
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("flock", ["with", "without"])
def test_many_processes_are_never_inside_together_also_if_some_are_killed(tmp_path, flock):
    def start():
        words = [sys.executable, "-c", RACE, str(tmp_path), flock]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    racers, victims = [start() for _ in range(3)], [start() for _ in range(3)]
    for victim in victims:
        time.sleep(1.5)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    done = [racer.communicate(timeout=60) for racer in racers]
    assert [out for out, _ in done] == ["done\n"] * 3, done
    killed, inside, entries = {str(victim.pid) for victim in victims}, "", 0
    for line in (tmp_path / "book").read_text().splitlines():
        who, what = line.split()
        if what == "in":
            assert not inside or inside in killed, f"{who} entered while {inside} was inside"
            inside, entries = who, entries + 1
        else:
            assert inside == who
            inside = ""
    assert entries > 20
