"""Lock files for runs and studies; the operating system releases them when the process exits."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ablate.store.disk import Disk


def take(disk: Disk, path: Path, *, wait: bool) -> BinaryIO | None:
    """Lock a file, which is created if necessary; closing it releases the lock.

    Without ``wait``, None if another process holds the lock.
    """
    while True:
        file = disk.append(path, shared=True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        if _is_at(disk, file, path):
            return file
        # its folder was removed while waiting: this is no longer the lock file
        file.close()


class Locked(TimeoutError):
    """Another process holds a lock for too long."""


@contextmanager
def held_within(disk: Disk, path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock within the context. Raises `Locked` if another process holds it for ``seconds``."""
    until = time.monotonic() + seconds
    while (file := take(disk, path, wait=False)) is None:
        if time.monotonic() > until:
            raise Locked
        time.sleep(0.05)
    with file:
        yield


@contextmanager
def held(disk: Disk, path: Path) -> Iterator[None]:
    """Wait for a lock and hold it within the context."""
    file = take(disk, path, wait=True)
    assert file is not None
    with file:
        yield


@contextmanager
def all_or_none(disk: Disk, paths: list[Path]) -> Iterator[bool]:
    """Hold all locks (True), or none (False) if another process holds one of them."""
    with ExitStack() as stack:
        for path in sorted(paths):
            file = take(disk, path, wait=False)
            if file is None:
                stack.close()
                yield False
                return
            stack.enter_context(file)
        yield True


def is_held(disk: Disk, path: Path) -> bool:
    """Whether a process holds a lock."""
    try:
        file = disk.open(path)
    except OSError:
        return False
    if file is None:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_at(disk: Disk, file: BinaryIO, path: Path) -> bool:
    there = disk.status(path)
    return there is not None and os.path.samestat(os.fstat(file.fileno()), there)
