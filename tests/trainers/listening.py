"""A report for the user's own training, and one run of a recipe that is trained in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ablate.engine.contract import Assignment
from ablate.execution.shutdown import Ending
from ablate.recipe import Recipe
from ablate.trainers.trainer import trainer_of


@dataclass
class Listening:
    """A report that keeps what it hears, and checkpoints when asked to."""

    root: Path
    due_at: tuple[int, ...] = ()
    end_at: int | None = None
    lines: list[dict] = field(default_factory=list)
    saved: list[dict] = field(default_factory=list)
    kept: dict = field(default_factory=dict)
    outcomes: list = field(default_factory=list)
    ending: Ending = field(default_factory=Ending)

    def started(self, facts):
        self.facts = facts

    def folder(self, replica):
        (self.root / "work").mkdir(exist_ok=True)
        return self.root / "work"

    def output(self, replica, parts):
        self.parts = parts

    def log(self, replica, start, end):
        return b""

    def epoch(self, replica, line):
        self.lines.append({key: value for key, value in line.items() if key not in ("time", "seconds")})
        json.dumps(line, allow_nan=False)
        if line["epoch"] == self.end_at:
            self.ending.asked = "interrupted"

    def end_if_asked(self, *, only_if_raised=False):
        (self.ending.end_again if only_if_raised else self.ending.saved)()

    def due(self, epoch):
        return epoch in self.due_at or self.ending.asked is not None

    def checkpoint(self, state):
        self.saved.append(through_disk(state, self.root))
        self.ending.saved()

    def weights(self, replica, which, state):
        self.kept[which] = {name: value.clone() for name, value in state.items()}

    def ended(self, replica, outcome):
        self.outcomes.append(outcome)


def through_disk(state, folder):
    torch.save(dict(state), folder / "state.pt")
    return torch.load(folder / "state.pt", weights_only=True)


def train(path, variant="base", seed=0, state=None, report=None, **listening):
    """Train one run of a recipe in this process; the report."""
    report = report or Listening(path.parent, **listening)
    recipe = Recipe.load(path)
    settings = recipe.variant(variant).settings
    trainer_of(settings).train(Assignment(settings, (seed,), recipe.folder), report, state)
    return report
