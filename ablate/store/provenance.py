"""Where a run comes from: versions, commit, command line, host and device. Recorded with each run; no part of its identity."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import ablate
from ablate.registry.lazy import torch


def of_command(folder: Path) -> dict[str, Any]:
    """What the command knows once for all its runs: command line, host, Python, and the git state of the recipe's folder."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "ablate": ablate.__version__,
        **git_state(folder),
    }


def of_process(device: str) -> dict[str, Any]:
    """What the job's process knows: torch, device, threads."""
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "device": device,
        "threads": torch.get_num_threads(),
        "pid": os.getpid(),
    }
    if device.startswith("cuda"):
        facts |= {"device_name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return facts


def git_state(folder: Path) -> dict[str, Any]:
    """``git_commit`` and ``git_dirty`` of the repository that holds ``folder``; empty where there is none."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()

    try:
        return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}
