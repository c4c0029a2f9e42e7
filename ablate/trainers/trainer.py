"""The base class of trainers. A trainer turns the settings of a variant and a seed into recorded results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ablate.recipe.settings import Settings
from ablate.registry import Named

if TYPE_CHECKING:
    from ablate.engine.contract import Assignment, Outcome, Report, State


class Trainer(Named):
    """Base of all trainers. Its fields are the keys beside its name in ``trainer:``."""

    settings: ClassVar[tuple[str, ...] | None] = None
    """The settings that a trainer of the user's own code uses, beside ``args`` and ``metrics``. None: it trains with
    the sections and tricks of the recipe.
    """

    stacks: ClassVar[bool] = False
    """Whether it can train several seeds at once."""

    @abstractmethod
    def train(self, assignment: Assignment, report: Report, state: State | None) -> Sequence[Outcome]:
        """Train, and report every epoch. ``state`` is the checkpoint to continue from.

        Raises whatever goes wrong for all seeds; a seed that diverges is an outcome.
        """


class OwnTrainer(Trainer):
    """Base of trainers that run the user's own code."""

    settings: ClassVar[tuple[str, ...] | None] = ("epochs", "select", "monitor", "checkpoint")

    def check(self, settings: Settings, folder: Path) -> None:
        """Check what can be checked without training, in a helper process: may import the user's code.

        Raises ValueError with one line.
        """

    def command_line(self, settings: Settings, seed: int, fold: int | None, out: str, device: str) -> list[str] | None:
        """The command line of a run with the working folder ``out``; None if it starts no command."""
        return None

    @property
    def reading(self) -> Mapping[str, Any] | None:
        """How the metrics are read from what the code writes, as plain JSON values; None if the code reports them."""
        return None

    @abstractmethod
    def deciding(self) -> dict[str, Any]:
        """What of its own settings affects the result, as plain JSON values."""

    @abstractmethod
    def code_digests(self, folder: Path) -> dict[str, Any]:
        """Hashes of the user's code in ``folder`` that it runs, by target or file. Raises ValueError."""

    @abstractmethod
    def code_files(self, folder: Path) -> set[Path]:
        """The user's files in `code_digests`. Raises ValueError."""

    def ignores_epochs(self, folder: Path) -> str | None:
        """Why ``epochs`` has no effect, as the end of a sentence; None if the code in ``folder`` may use it."""
        return None


def trainer_of(settings: Settings) -> Trainer:
    """The trainer of a variant."""
    return settings.trainer.built_in(Trainer)


class ReadTrainer(OwnTrainer):
    """Base of trainers whose metrics are read from what the user's code writes, so that they can be read again."""

    @abstractmethod
    def metrics_file(self, settings: Settings, seed: int, fold: int | None, out: str, folder: Path) -> Path | None:
        """The file that the metrics of a run are read from; None if they are read from its output."""

    @abstractmethod
    def read_again(
        self, settings: Settings, seed: int, written: Sequence[bytes], *, resumed: bool
    ) -> tuple[list[dict[str, Any]], Outcome | Exception]:
        """The lines of metrics of a run that has ended, and its outcome or why it failed, from what was written: to the
        file of metrics, or to the output from each start on.
        """
