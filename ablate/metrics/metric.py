"""The contract of a metric that recipes name."""

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
    """Base of all metrics: one number from all predictions of a part at once, so it is exact over the set, never a mean of batches."""

    better: ClassVar[Literal["lower", "higher"]] = "higher"

    task: ClassVar[Task | None] = None
    """What the targets must be: class numbers, numbers, or either (None)."""

    def check(self, name: str, spec: Spec) -> None:
        """Raise ValueError in one line where this metric does not fit the data; ``name`` is the recipe's. Asked as soon as the data's facts are known."""
        if self.task is not None and spec.task not in (self.task, "other"):
            raise ValueError(
                f"metric (={name}) needs targets that are {KINDS[self.task]}; the data's are {KINDS[spec.task]}."
            )

    @abstractmethod
    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """The metric, 0-d, from (n, outputs) and (n, …) over the whole part. Raises ValueError where the data lacks what it needs."""
