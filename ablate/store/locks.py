"""Whose turn it is to write: one lock file each for runs and studies, held by a process and let go of by the system when that process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ablate.store.disk import Disk


def take(disk: Disk, path: Path, *, wait: bool) -> BinaryIO | None:
    """Lock a file, which is made where it is not there; closing it lets go. None: another process has it, and ``wait`` is off."""
    while True:
        file = disk.append(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        if _is_at(file, path):
            return file
        # its folder was removed while we waited: what we hold is no longer anybody's lock
        file.close()


@contextmanager
def held(disk: Disk, path: Path) -> Iterator[None]:
    """Wait for a lock and hold it for a while."""
    file = take(disk, path, wait=True)
    assert file is not None
    with file:
        yield


@contextmanager
def all_or_none(disk: Disk, paths: list[Path]) -> Iterator[bool]:
    """Hold all locks, or none where another process has one of them; says which."""
    with ExitStack() as stack:
        for path in sorted(paths):
            file = take(disk, path, wait=False)
            if file is None:
                stack.close()
                yield False
                return
            stack.enter_context(file)
        yield True


def is_held(path: Path) -> bool:
    """Whether some process holds a lock. Changes nothing."""
    try:
        file = path.open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file.fileno()), there)
