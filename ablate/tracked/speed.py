"""How fast a training runs, and what memory it takes."""

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
        "Seconds of an epoch, training samples a second, and peak memory.",
        source="time.perf_counter; torch.cuda.max_memory_allocated; getrusage",
        helps="What a trick costs in time, at the batch size and on the device at hand.",
        costs="Nothing.",
        interacts="The seeds of a stack share the device, so each has the stack's numbers. Timings of rows that ran side by side are not comparable.",
    ),
)
class Speed(Watch):
    """``epoch_seconds`` (training and validation), ``samples_per_second`` (those of all the stack's seeds), ``peak_memory_mib`` (so far).

    Memory is what torch has taken on a GPU; on the CPU, what the process has, libraries and data included.
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
    """MiB that were in use at most so far; None where the system does not say."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10
