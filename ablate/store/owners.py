"""The owner of a lock, as its file names it, and whether it lives (`store.locks`)."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ablate.machine import Machine, born, is_alive, this_machine
from ablate.store.checked import checked, decoded
from ablate.store.disk import Disk

EXPIRY = 60.0
"""Seconds without a heartbeat after which the owner of a lock on another machine has ended."""

FREE = b"free\n"

MOST = 4096
"""Bytes of a lock file that are read."""

State = Literal["free", "held", "ended", "expired", "empty"]
"""``ended``: the owner certainly, ``expired``: it has shown nothing for a while; ``empty``: there is no owner yet."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock: a process on a machine, which began at ``born``; ``flock``: whether ``flock`` holds where the
    file is, ``user`` the number of its user. ``job``: the name of the job that it is, if it runs on a cluster. If that
    is ``queued``, the process is the one that submits it.
    """

    machine: Machine
    pid: int
    born: str = ""
    flock: bool = False
    job: str = ""
    queued: bool = False
    user: int = -1


def myself(job: str = "") -> Owner:
    """This process as an owner."""
    return Owner(this_machine(), os.getpid(), born(os.getpid()), job=job, user=os.getuid())


def numbered(path: Path, number: int) -> Path:
    """The file with a number."""
    return path.with_name(f"{path.name}.{number}")


def words_of(owner: Owner) -> bytes:
    return (json.dumps(asdict(owner)) + "\n").encode()


def owner_of(disk: Disk, path: Path, number: int) -> Owner | None:
    """The owner that a file names; None if it names none (yet)."""
    return _owner(_contents(disk, numbered(path, number))[0])


def state_of(disk: Disk, path: Path, number: int, job: str = "") -> State:
    """What is known of the owner of a lock from its file with the highest number. ``job`` as in `take`."""
    file = numbered(path, number)
    contents, sign = _contents(disk, file)
    if contents is None or contents == FREE:
        return "free"
    if not contents:
        return "held" if is_locked(disk, file) else "empty"
    owner = _owner(contents)
    if owner is not None and owner.queued:
        return "free" if owner.job == job else "held"
    if owner is not None and job and owner.job == job:
        return "expired"  # the same job on another node, which was lost
    if owner is not None and owner.machine.restarted(this_machine()):
        return "ended"
    if owner is not None and owner.machine.same_kernel(this_machine()):
        if owner.flock:
            return "held" if is_locked(disk, file) else "ended"
        if owner.born and owner.machine.space == this_machine().space:
            return "held" if is_alive(owner.pid, owner.born) else "ended"
    return _by_heartbeat(disk, file, sign)


def _by_heartbeat(disk: Disk, file: Path, sign: Any) -> State:
    """Whether a file has changed in the last seconds, as far as this process has seen."""
    now = time.monotonic()
    before, since = disk.observed.get(file, (None, now))
    if before != sign:
        disk.observed[file] = sign, now
        return "held"
    return "expired" if now - since >= EXPIRY else "held"


def _contents(disk: Disk, path: Path) -> tuple[bytes | None, Any]:
    """The contents of a lock's file, and what changes with each heartbeat."""
    if (file := disk.open(path)) is None:
        return None, None
    with file:
        status = os.fstat(file.fileno())
        return file.read(MOST), (status.st_ino, status.st_mtime_ns, status.st_size)


def _owner(contents: bytes | None) -> Owner | None:
    try:
        return checked(Owner, decoded(contents or b""))
    except ValueError:
        return None


def is_locked(disk: Disk, path: Path) -> bool:
    """Whether ``flock`` is held on a file."""
    if (file := disk.open(path)) is None:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def is_owner(owner: Owner, pid: int) -> bool:
    """Whether an owner is this process of this machine."""
    return (owner.machine, owner.pid) == (this_machine(), pid)
