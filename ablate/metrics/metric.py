"""The base class of metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from ablate.data.dataset import Task
from ablate.losses.loss import KINDS
from ablate.registry import Named

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


class Metric(Named):
    """Base of all metrics: one number from all predictions of a split at once, exact over the set instead of a mean
    over batches.
    """

    better: ClassVar[Literal["lower", "higher"]] = "higher"

    task: ClassVar[Task | None] = None
    """Task of the metric: classification, regression, or either (None)."""

    def check(self, name: str, spec: Spec) -> None:
        """Raise ValueError (one line) if the data do not match this metric; ``name`` is its name in the recipe.

        Called as soon as the facts of the data are known.
        """
        if self.task is not None and spec.task not in (self.task, "other"):
            raise ValueError(
                f"metric (={name}) requires {KINDS[self.task]} as targets, but the data have {KINDS[spec.task]}."
            )

    @abstractmethod
    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """The metric, 0-d, from (n, outputs) and (n, …) over the whole split.

        Raises ValueError if the data do not match.
        """
