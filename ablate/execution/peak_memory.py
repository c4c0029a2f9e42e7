"""How much memory a job took."""

from __future__ import annotations

import resource
import sys

from ablate.registry.lazy import torch


def peak_memory(device: str) -> int:
    """The most bytes that this process had at once: of the GPU's, as torch allocated them, where ``device`` is one; else of its own, torch included."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
