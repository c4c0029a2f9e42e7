"""Optimizers that treat some parameters in another way than the others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from ablate.optimizers.optimizer import Optimizer


class InParts(Optimizer):
    """An optimizer of several parts: each parameter group belongs to one and says so under ``part``."""

    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """For a part, which field stands in the place of another: ``{"adamw": {"lr": "adamw_lr"}}``. A group's own rate and decay still come first."""

    @abstractmethod
    def part(self, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, str]:
        """The part that takes each parameter, from the names and shapes of one network's parameters in their order."""
