"""Free memory, to decide whether data are kept there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ablate.registry.lazy import torch

GROUP = Path("/sys/fs/cgroup")
"""What the control group (version 2) of this process may use."""


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
    try:
        limit = int((GROUP / "memory.max").read_text())
        used = int((GROUP / "memory.current").read_text())
        cache = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 2**63
    return max(limit - used + int(cache.get("inactive_file", 0)), 0)


def most_to_share() -> int:
    """Bytes that all datasets may have which processes share: a quarter of the memory of the machine, or of the
    container, if it has a limit.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int((GROUP / "memory.max").read_text()))
    return total // 4
