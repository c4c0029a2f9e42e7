"""Means over the steps of an epoch that are added up on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class EpochMeans:
    """Sums by name, each (R,), of the steps that count: the first of an epoch and every ``every``-th after it."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.begin()

    def begin(self) -> None:
        """Forget the last epoch."""
        self._step, self._asked = 0, False
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def due(self) -> bool:
        """Whether this step is one to measure: yes at most once a step, as some optimizers compute several gradients in each."""
        due = not self._asked and self._step % self.every == 0
        self._asked = True
        return due

    def stepped(self) -> None:
        """A step is done."""
        self._step, self._asked = self._step + 1, False

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add a step's values."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, Tensor]:
        """The means, each over the steps that had a value of that name."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}
