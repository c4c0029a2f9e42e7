"""Settings by hand, and a report that remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.contract import Assignment, Outcome
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup


def choice(kind: str, name: str, **options: Any) -> Choice:
    return Choice(kind, name, None, lookup(kind, name).settings.model_validate(options))


class Memory:
    """A report that keeps what it hears."""

    def __init__(self) -> None:
        self.facts: Any = None
        self.lines: list[Mapping[str, Any]] = []
        self.states: list[Mapping[str, Any]] = []
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.outcomes: list[Outcome] = []

    def started(self, facts: Any) -> None:
        self.facts = facts

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        self.lines.append(line)

    def due(self, epoch: int) -> bool:
        return True

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        self.states.append(state)

    def weights(self, replica: int, which: str, state: Mapping[str, Any]) -> None:
        self.kept[which] = state

    def ended(self, replica: int, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@pytest.fixture
def report() -> Memory:
    return Memory()


@pytest.fixture
def make_choice() -> Callable[..., Choice]:
    return choice


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """A small picture classifier; keyword arguments replace its fields."""

    def make(**fields: Any) -> Settings:
        base: dict[str, Any] = {
            "data": choice("data", "digits"),
            "model": choice("model", "convnet", channels=[4], kernels=[3], hidden=[16]),
            "init": choice("init", "xavier_uniform"),
            "loss": choice("loss", "cross_entropy"),
            "optimizer": choice("optimizer", "sgd", lr=0.05, momentum=0.9),
            "batch_size": 16,
            "epochs": 3,
        }
        return Settings(**(base | fields))

    return make


@pytest.fixture
def pictures() -> Parts:
    """40 + 20 pictures of 8×8 in three classes that can be told apart by their brightest third."""
    generator = torch.Generator().manual_seed(1)

    def part(n: int) -> Part:
        targets = torch.arange(n) % 3
        inputs = torch.rand(n, 1, 8, 8, generator=generator) * 0.5
        for i, target in enumerate(targets):
            inputs[i, :, :, 3 * int(target) : 3 * int(target) + 2] += 0.5
        return Part(inputs, targets)

    return Parts(part(40), part(20), Spec((1, 8, 8), 3, "classification", ("a", "b", "c")))


@pytest.fixture
def assign() -> Callable[..., Assignment]:
    def make(settings: Settings, seed: int = 0, **fields: Any) -> Assignment:
        return Assignment(settings, (seed,), Path(), **fields)

    return make
