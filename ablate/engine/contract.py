"""The interface between a study and a trainer: a job goes in, and every epoch is reported.

`ablate.engine.training.train` is one `Trainer`; a user's training function or command can be another. Values per seed
are arrays over the job's R seeds, in their order; R = 1 is not a special case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ablate.data.dataset import Parts
from ablate.notes.note import Note, as_notes
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Settings


@dataclass(frozen=True)
class Assignment:
    """What to train: one variant's settings with R seeds on one device, as one stack if possible.

    ``folder`` is the recipe's, in which the user's modules are searched. ``fold`` is the number of the validation fold.
    ``weights`` are the weight files of the variants that these settings require, by variant and seed.
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
    """The result of one seed.

    ``results`` maps ``selected``, ``last`` and ``best`` to metric values; it is empty for a seed that diverged.
    ``first_loss`` is the loss of the first step: equal for variants with the same initial network, batch and loss.
    """

    seed: int
    status: Literal["finished", "diverged"]
    epoch: int
    reason: str = ""
    best_epoch: int | None = None
    selected_epoch: int | None = None
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    first_loss: float | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a job's training before its first epoch.

    ``steps_per_epoch`` counts optimizer steps. ``target_scaling`` has the ``shift`` and ``scale`` of the targets, None
    if they are not scaled. ``data`` counts the samples of each split, ``watch`` names the tracked metrics, ``surgery``
    lists the layers that each trick changed, ``stack`` the seeds of each stack; ``joined`` names the variants whose
    predictions are joined.
    """

    parameters: int
    steps_per_epoch: int | None = None
    target_scaling: Mapping[str, Any] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    watch: Sequence[str] = ()
    surgery: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[Note | str] = ()
    stack: Sequence[Sequence[int]] = ()
    joined: Sequence[str] = ()

    def dump(self) -> dict[str, Any]:
        """The facts as they are recorded, for JSON."""
        recorded = {**vars(self), "notes": [note.dump() for note in as_notes(self.notes)]}
        unused = ("steps_per_epoch", "target_scaling", "watch", "surgery", "stack") if self.joined else ("joined",)
        return {key: value for key, value in recorded.items() if key not in unused}


class Report(Protocol):
    """Receives a training's progress. Implemented by the study and called by the trainer."""

    def started(self, facts: Facts) -> None:
        """Before the first epoch."""

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        """Seed number ``replica`` finished an epoch: ``epoch``, ``train_loss``, ``valid_loss``, metrics, ``lr`` …"""

    def due(self, epoch: int) -> bool:
        """Whether to save a checkpoint after this epoch. Called after every epoch except the last."""

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """A state of all seeds from which the trainer can resume exactly. Called after `epoch` for all seeds."""

    def weights(self, replica: int, which: Literal["best", "last"], state: Mapping[str, Any]) -> None:
        """A seed's weights by parameter name, of its best or last epoch."""

    def ended(self, replica: int, outcome: Outcome) -> None:
        """A seed has finished, stopped early or diverged."""


class Trainer(Protocol):
    """Trains an assignment on data and reports progress.

    Raises errors that concern all seeds; a failure of one seed is its `Outcome`.
    """

    def __call__(
        self, assignment: Assignment, data: Parts, report: Report, resume: Mapping[str, Any] | None = None
    ) -> Sequence[Outcome]: ...
