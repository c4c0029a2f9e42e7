"""Free memory, to decide whether data are kept there."""

from __future__ import annotations

import os
from pathlib import Path

from ablate.registry.lazy import torch


def free_bytes(device: str) -> int:
    """Free bytes of a CUDA device, or of main memory (of the container, if it has a limit)."""
    kind = torch.device(device)
    if kind.type == "cuda":
        free, _ = torch.cuda.mem_get_info(kind)
        return int(free)
    return min(_available(), _container())


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        # outside Linux free memory is unknown: use half of the total
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30


def _container() -> int:
    """The free memory of a control group (version 2); its file cache counts as free, because the kernel reclaims it."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        cache = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 2**63
    return max(limit - used + int(cache.get("inactive_file", 0)), 0)
