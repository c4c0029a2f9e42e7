"""Speed and memory of training."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from pydantic import PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register(
    "watch",
    "speed",
    card=Card(
        "Records seconds per epoch, training samples per second, and peak memory.",
        source="time.perf_counter; torch.cuda.max_memory_allocated; getrusage",
        helps="To measure the time that a trick costs, for the given batch size and device.",
        costs="Nothing.",
        interacts=(
            "Seeds trained in parallel on one device share the same values. Timings of variants that ran in parallel "
            "are not comparable."
        ),
    ),
)
class Speed(Watch):
    """``epoch_seconds`` (training and validation), ``samples_per_second`` (of all seeds of the stack),
    ``peak_memory_mib`` (so far).

    Memory is that allocated by torch on a GPU; on the CPU, that of the process, including libraries and data.
    """

    names = ("epoch_seconds", "samples_per_second", "peak_memory_mib")

    _began: float = PrivateAttr(default=0.0)

    def begin(self, epoch: int) -> None:
        self._began = time.perf_counter()

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, NDArray[np.float64]]:
        seconds = time.perf_counter() - self._began
        values = {
            "epoch_seconds": seconds,
            "samples_per_second": self.count * self._samples / max(seconds, 1e-9),
            "peak_memory_mib": peak_memory(self.context.device),
        }
        return {name: np.full(self.count, value) for name, value in values.items() if value is not None}


def peak_memory(device: str) -> float | None:
    """Peak memory so far, in MiB; None if the system does not report it."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    try:
        import resource
    except ImportError:  # not available on Windows
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10
