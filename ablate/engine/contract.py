"""The interface between a study and whatever trains: a job goes in, a report hears of every epoch.

The engine's own `ablate.engine.training.train` is one `Trainer`; a user's training function or command can stand in its place.
Everything that is said per seed is an array over the job's R seeds, in their order: R = 1 is no special case here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ablate.data.dataset import Parts
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Settings


@dataclass(frozen=True)
class Assignment:
    """What to train: one variant's settings with R seeds, as one stack where they can be one, on one device.

    ``folder`` is the recipe's, where the user's own modules are looked for. ``fold`` is the number of the fold, of ``folds``, that validates.
    ``weights`` are the files of weights of rows that these settings build upon, by row and seed.
    """

    settings: Settings
    seeds: tuple[int, ...]
    folder: Path
    device: str = "cpu"
    fold: int | None = None
    folds: Folds | None = None
    weights: Mapping[tuple[str, int], Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How one seed ended.

    ``results`` maps ``selected``, ``last`` and ``best`` to metric values; it is empty for a seed that diverged before its first epoch ended.
    ``first_loss`` is the loss of the first step, before anything was learned: two rows that share it have the same network, batch and loss there.
    """

    seed: int
    status: Literal["finished", "diverged"]
    epoch: int
    reason: str = ""
    best_epoch: int | None = None
    selected_epoch: int | None = None
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    first_loss: float | None = None


class Report(Protocol):
    """Hears of a training's progress. Written by the study; the engine only calls it."""

    def started(self, facts: Mapping[str, Any]) -> None:
        """Before the first epoch: ``parameters`` (a count), ``steps_per_epoch``, ``target_scaling`` (None: targets are in their unit), ``notes`` and
        other facts for the record."""

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        """Seed number ``replica`` of the stack ended an epoch: ``epoch``, ``train_loss``, ``valid_loss``, metrics, ``lr`` …"""

    def due(self, epoch: int) -> bool:
        """Whether a checkpoint is wanted now that this epoch's lines are written. Asked after every epoch but the last."""

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """A state of the whole stack from which `Trainer` can go on exactly; comes after the lines of its epoch."""

    def weights(self, replica: int, which: Literal["best", "last"], state: Mapping[str, Any]) -> None:
        """A seed's weights by parameter name: those of its best epoch, or of its last."""

    def ended(self, replica: int, outcome: Outcome) -> None:
        """A seed is done: finished, stopped early or diverged."""


class Trainer(Protocol):
    """Trains an assignment on data and tells the report. Raises what goes wrong for the whole stack; what goes wrong for one seed is its `Outcome`."""

    def __call__(
        self, assignment: Assignment, data: Parts, report: Report, resume: Mapping[str, Any] | None = None
    ) -> Sequence[Outcome]: ...
