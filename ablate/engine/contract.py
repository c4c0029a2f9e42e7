"""The interface between a study and a trainer: a job goes in, and every epoch is reported.

`ablate.engine.training.train` is one `Trainer`; a user's training function or command can be another. Values per seed
are arrays over the job's R seeds, in their order; R = 1 is not a special case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ablate.data.dataset import Parts, TargetScaling
from ablate.data.examples import Examples
from ablate.notes.old_sentences import StoredNote
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Settings

if TYPE_CHECKING:
    from ablate.tricks.trick import WeightsFile

State = Mapping[str, Any]
"""A state from which a trainer can resume, or weights by name: tensors and plain values."""

LARGEST_LOSS = 1e100
"""A seed with a larger loss has diverged: squares of losses, summed over seeds, must be far below the largest float64
(1.8e308). Losses in float32 are at most 3.4e38.
"""


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
    weights: Mapping[tuple[str, int], WeightsFile] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The result of one seed.

    ``results`` maps ``selected``, ``last`` and ``best`` to metric values; it is empty for a seed that diverged.
    ``first_loss`` is the loss of the first step: equal for variants with the same initial network, batch and loss. The
    user's own training may report the loss before it instead.
    ``first_weights`` is a digest of a custom network's initial parameters. ``places`` has the code's own epoch and step
    of the ``last`` and the ``best`` point, as far as it has them; None: points are epochs.
    """

    seed: int
    status: Literal["finished", "diverged"]
    epoch: int
    reason: str = ""
    best_epoch: int | None = None
    selected_epoch: int | None = None
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    first_loss: float | None = None
    first_weights: str | None = None
    places: Mapping[str, Mapping[str, float]] | None = None
    notes: Sequence[StoredNote] = ()
    examples: Examples | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a training before its first epoch.

    Numbers are None if unknown, ``target_scaling`` if targets are not scaled. ``data`` are the notes of the data, such
    as the number of samples per split. ``watch`` are the labels of the tracked metrics, ``surgery`` the layers that
    each trick changed, and ``stack`` the seeds of each stack. A variant with ``joined`` only has parameters, notes,
    data and its members.
    """

    parameters: int | None = None
    steps_per_epoch: int | None = None
    target_scaling: TargetScaling | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    watch: Sequence[str] = ()
    surgery: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[StoredNote] = ()
    stack: Sequence[Sequence[int]] = ()
    joined: Sequence[str] = ()

    def to_json(self) -> dict[str, object]:
        """The facts in plain JSON values, as a run's provenance holds them."""
        known: dict[str, object] = {**asdict(self), "notes": [note.dump() for note in self.notes]}
        keys = ("parameters", "notes", "data", "joined") if self.joined else tuple(known)[:-1]
        return {key: known[key] for key in keys}


class Report(Protocol):
    """Receives a training's progress. Implemented by the study and called by the trainer."""

    def started(self, facts: Facts) -> None:
        """Before the first epoch."""

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        """Seed number ``replica`` finished an epoch: ``epoch``, ``train_loss``, ``valid_loss``, metrics, ``lr`` …"""

    def folder(self, replica: int) -> Path:
        """A folder for the files of the user's own training of a seed; created if it does not exist."""

    def output(self, replica: int, parts: Sequence[Sequence[int]]) -> None:
        """Where the whole output of a seed's command is in the log: a pair of positions for each start. Empty: it was
        ended because its metrics could not be used.
        """

    def log(self, replica: int, start: int, end: int) -> bytes:
        """What a seed's log has between two positions."""

    def end_if_asked(self, *, only_if_raised: bool = False) -> None:
        """End the training if the job was asked to end; with ``only_if_raised``, if it was ended but went on."""

    def due(self, epoch: int) -> bool:
        """Whether to save a checkpoint after this epoch. Called after every epoch except the last."""

    def checkpoint(self, state: State) -> None:
        """A state of all seeds from which the trainer can resume exactly. Called after `epoch` for all seeds."""

    def weights(self, replica: int, which: Literal["best", "last"], state: State) -> None:
        """A seed's weights by parameter name, of its best or last epoch."""

    def ended(self, replica: int, outcome: Outcome) -> None:
        """A seed has finished, stopped early or diverged."""


class Trainer(Protocol):
    """Trains an assignment on data and reports progress.

    Raises errors that concern all seeds; a failure of one seed is its `Outcome`.
    """

    def __call__(
        self, assignment: Assignment, data: Parts, report: Report, resume: State | None = None
    ) -> Sequence[Outcome]: ...
