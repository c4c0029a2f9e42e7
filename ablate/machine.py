"""Which machine and process this is, as locks tell other machines, and how a process ends with its parent."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""


@dataclass(frozen=True)
class Machine:
    """A computer since it was started. ``name`` is its host name, ``id`` the one from its installation, ``boot``
    changes whenever it starts; all are empty if unknown. ``space``: in which numbers of processes have a meaning.
    """

    name: str
    id: str = ""
    boot: str = ""
    space: str = ""

    def same_kernel(self, other: Machine) -> bool:
        """Whether locks of the operating system on one are seen on the other."""
        return self.boot == other.boot if self.boot and other.boot else self.name == other.name

    def restarted(self, other: Machine) -> bool:
        """Whether the other is this computer before it was started again, so that its processes have ended."""
        return (self.name, self.id) == (other.name, other.id) and bool(self.id) and self.boot != other.boot


@cache
def this_machine() -> Machine:
    """The machine of this process."""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
        return Machine(socket.gethostname(), line("/etc/machine-id"), line("/proc/sys/kernel/random/boot_id"), space)
    return Machine(socket.gethostname())


def born(pid: int) -> str:
    """When a process began, in the kernel's own unit; empty if there is none or it is unknown."""
    text = line(f"/proc/{pid}/stat")
    # the name of the program, in parentheses, may contain anything
    words = text[text.rfind(")") + 1 :].split()
    return words[19] if len(words) > 19 else ""


def is_alive(pid: int, since: str) -> bool:
    """Whether a process that began then is still there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return born(pid) == since


def line(path: str) -> str:
    """The contents of a small file without the last end of line; empty if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


@cache
def libc() -> Any:
    """The C library on Linux, else None. Load it before a process is forked that calls `end_with_parent`."""
    import ctypes

    return ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """On Linux, kill this process when the one that started it ends."""
    if (library := libc()) is not None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
