"""Optimizers that update parts of the parameters in different ways."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

from ablate.optimizers.optimizer import Optimizer


class InParts(Optimizer):
    """An optimizer of several parts: each parameter group belongs to the part that it names under ``part``."""

    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """For each part, the fields that replace others: ``{"adamw": {"lr": "adamw_lr"}}``.

    A group's own learning rate and weight decay take precedence.
    """

    @abstractmethod
    def part(self, shapes: Mapping[str, tuple[int, ...]], own: Collection[str]) -> Mapping[str, str]:
        """The part of each of the ``own`` parameters, from the names and shapes of all of one network's, in order."""
