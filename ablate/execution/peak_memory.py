"""The peak memory of a job."""

from __future__ import annotations

import resource
import sys

from ablate.registry.lazy import torch


def peak_memory(device: str) -> int:
    """Peak memory in bytes: torch's allocations on a GPU, otherwise the memory of this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
