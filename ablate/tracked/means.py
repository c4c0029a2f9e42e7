"""Means over the steps of an epoch, summed on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class EpochMeans:
    """Sums by name, each (R,), of the recorded steps: the first of an epoch and every ``every``-th after it."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.begin()

    def begin(self) -> None:
        """Reset at the start of an epoch."""
        self._step, self._asked = 0, False
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def due(self) -> bool:
        """Whether to record this step: once per step at most, because some optimizers compute several gradients."""
        due = not self._asked and self._step % self.every == 0
        self._asked = True
        return due

    def stepped(self) -> None:
        """Count a step."""
        self._step, self._asked = self._step + 1, False

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add a step's values."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, Tensor]:
        """The means, each over the steps that have a value of that name."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}
