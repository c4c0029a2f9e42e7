"""Locks for runs and studies that hold across machines, also on file systems without locks of their own.

A lock is a series of files, ``lock.1``, ``lock.2`` …, of which the highest number counts. Each is created exclusively
by a process that has seen that the one before is free, or that its owner has ended; a process that then finds a higher
number has lost. A file says who its owner is, and ``free`` once it is released. Whether the owner lives is known

- on its own machine from ``flock`` (probed by the owner) or else from its process number and start,
- elsewhere by its heartbeat, a new time of modification: it has ended if nothing changed for `EXPIRY` seconds on the
  observer's own monotonic clock. Clocks are never compared. An owner that was only paused finds its folder gone
  (`Disk.pinned`).

A lock may also be queued, by a job that has not begun on another machine. It expires never: only what runs the jobs
knows whether the job is still to come.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ablate.store.disk import Disk, DiskError
from ablate.store.owners import FREE, Owner, State, is_locked, is_owner, myself, numbered, owner_of, state_of, words_of

BEAT = 10.0
"""Seconds between two heartbeats."""

PAUSE = 0.02
"""Seconds between two attempts to get a lock."""

GONE = ".gone-"
"""Beginning of the name of a run's folder that is being removed, so that none is left incomplete."""


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds until it is closed. ``expired``: the owner before may only be paused."""

    disk: Disk
    path: Path
    number: int
    file: BinaryIO
    job: str = ""
    expired: bool = False

    def close(self) -> None:
        """Release the lock."""
        if self.file.closed:
            return
        with suppress(OSError):  # on its own machine, closing is enough
            os.pwrite(self.file.fileno(), FREE, 0)
            os.ftruncate(self.file.fileno(), len(FREE))
        self.file.close()

    def is_ours(self) -> bool:
        """Whether no other process has taken the lock since, because this one seemed to have ended."""
        return self.is_there() and highest(self.disk.unpinned(), self.path) == self.number

    def is_there(self) -> bool:
        """Whether the lock's file, and not that of another process, has its name."""
        there = self.disk.unpinned().status(numbered(self.path, self.number))
        return there is not None and os.path.samestat(os.fstat(self.file.fileno()), there)


def take(disk: Disk, path: Path, *, wait: bool, job: str = "") -> Lock | None:
    """Take a lock; its folder is created if necessary. Without ``wait``, None if another process holds it.

    ``job``: the name of the job that this process is; its own place in the queue is no obstacle.
    """
    while True:
        last = highest(disk, path)
        state = state_of(disk, path, last, job) if last else "free"
        if state == "held":
            if not wait:
                return None
            time.sleep(PAUSE)
        elif (file := _create(disk, path, last + 1, myself(job))) is not None:
            lock = Lock(disk, path, last + 1, file, job, state == "expired")
            try:
                if _won(lock, state):
                    _remove_below(disk, path, lock.number)
                    return lock
                if lock.is_there():
                    disk.remove(numbered(path, lock.number))
            except BaseException:
                file.close()
                raise
            file.close()


def _won(lock: Lock, before: State) -> bool:
    """Whether a lock that was just created is this process's: no faster one has a higher number, its folder is there,
    and the creator of an empty file before it has not become the owner of that since.
    """
    if not lock.is_ours():
        return False
    return before != "empty" or state_of(lock.disk, lock.path, lock.number - 1, lock.job) != "held"


def moved(lock: Lock) -> Lock:
    """The lock in a copy of its folder, in place of the folder itself. The earlier owner, which may only be paused,
    still writes to that one, which is removed.
    """
    disk, folder = lock.disk, lock.path.parent
    new, old = beside(folder)
    disk.remove(new)
    copy(disk, folder, new, without=numbered(lock.path, lock.number).name)
    file = _create(disk, new / lock.path.name, lock.number, myself(lock.job))
    assert file is not None
    disk.rename(folder, old)
    disk.rename(new, folder)
    disk.remove(old)
    lock.file.close()
    return replace(lock, file=file, expired=False)


def recover(disk: Disk, folder: Path) -> None:
    """Complete what `moved` began before its process was killed."""
    if disk.kind(folder) is None:
        new, old = beside(folder)
        if disk.kind(old) == "folder" and disk.kind(new) == "folder":
            disk.rename(new, folder)


def beside(folder: Path) -> tuple[Path, Path]:
    """What a folder that is replaced by a copy is called, while it is copied and afterwards."""
    return folder.with_name(f"{folder.name}.new"), folder.with_name(GONE + folder.name)


def copy(disk: Disk, folder: Path, to: Path, without: str = "") -> None:
    """Copy the regular files of a folder and of the folders in it."""
    for name in disk.names(folder):
        kind = disk.kind(folder / name)
        if kind == "folder":
            copy(disk, folder / name, to / name)
        elif kind == "file" and name != without:
            disk.replace(to / name, disk.read(folder / name) or b"")


def queue(lock: Lock, job: str) -> None:
    """Keep a lock for a job that has not begun. Its folder is replaced if the earlier owner may only be paused."""
    if lock.expired:
        lock = moved(lock)
    owner = replace(myself(job), queued=True)
    lock.disk.replace(numbered(lock.path, lock.number), words_of(owner))
    lock.file.close()


def release(disk: Disk, path: Path, job: str) -> None:
    """Free a lock that is queued for a job, which will not come."""
    last = highest(disk, path)
    if (holder := owner_of(disk, path, last)) is not None and holder.queued and holder.job == job:
        disk.replace(numbered(path, last), FREE)


def owner(disk: Disk, path: Path) -> Owner | None:
    """Who holds or held a lock last, if it has not been released."""
    last = highest(disk, path)
    return owner_of(disk, path, last) if last else None


def beat(disk: Disk, path: Path, pid: int) -> None:
    """Show other machines that a process of this one lives, if it holds the lock."""
    last = highest(disk, path)
    holder = owner_of(disk, path, last) if last else None
    if holder is not None and is_owner(holder, pid):
        disk.touch(numbered(path, last))


def is_held(disk: Disk, path: Path) -> bool:
    """Whether a process holds a lock, or a job will."""
    last = highest(disk, path)
    return last > 0 and state_of(disk, path, last) == "held"


@dataclass(frozen=True)
class Claim:
    """The locks of runs that this process writes to."""

    held: tuple[Lock, ...]

    def is_ours(self) -> bool:
        """Whether no other process has taken one of them since."""
        return all(lock.is_ours() for lock in self.held)


class Locked(TimeoutError):
    """Another process holds a lock for too long."""


@contextmanager
def held_within(disk: Disk, path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock within the context. Raises `Locked` if another process holds it for ``seconds``."""
    until = time.monotonic() + seconds
    while (lock := take(disk, path, wait=False)) is None:
        if time.monotonic() > until:
            raise Locked
        time.sleep(PAUSE)
    done = threading.Event()
    beats = threading.Thread(target=_beat_until, args=(done, disk, path), daemon=True)
    beats.start()
    try:
        yield
    finally:
        done.set()
        beats.join()
        lock.close()


def _beat_until(done: threading.Event, disk: Disk, path: Path) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            beat(disk, path, os.getpid())


@contextmanager
def held(disk: Disk, path: Path) -> Iterator[None]:
    """Wait for a lock and hold it within the context."""
    lock = take(disk, path, wait=True)
    assert lock is not None
    try:
        yield
    finally:
        lock.close()


@contextmanager
def all_or_none(disk: Disk, paths: list[Path], job: str = "") -> Iterator[list[Lock]]:
    """Hold all locks, or none (an empty list) if another process holds one of them. ``job`` as in `take`."""
    with ExitStack() as stack:
        locks = []
        for path in sorted(paths):
            lock = take(disk, path, wait=False, job=job)
            if lock is None:
                stack.close()
                yield []
                return
            stack.callback(lock.close)
            locks.append(lock)
        yield locks


# the files of a lock


def highest(disk: Disk, path: Path) -> int:
    """The highest number of a lock's files, 0 if there is none."""
    return max(_numbers(disk, path), default=0)


def _numbers(disk: Disk, path: Path) -> list[int]:
    pattern = re.compile(re.escape(path.name) + r"\.([1-9][0-9]{0,11})")
    return [int(found[1]) for name in disk.names(path.parent) if (found := pattern.fullmatch(name))]


def _remove_below(disk: Disk, path: Path, number: int) -> None:
    for one in _numbers(disk, path):
        if one < number:
            disk.remove(numbered(path, one))


def _create(disk: Disk, path: Path, number: int, owner: Owner) -> BinaryIO | None:
    """Create a file with an owner, locked if the file system has locks; None if another process was faster."""
    if (file := disk.create(numbered(path, number))) is None:
        return None
    try:
        holds = _locked(disk, numbered(path, number), file)
        disk.add(file, words_of(replace(owner, flock=holds)))
        os.close(os.dup(file.fileno()))  # after this, other machines see it on a network file system
    except BaseException as error:
        file.close()
        if isinstance(error, DiskError):
            disk.remove(numbered(path, number))
        raise
    return file


def _locked(disk: Disk, path: Path, file: BinaryIO) -> bool:
    """Lock a file; whether that keeps others away."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return is_locked(disk, path)
