"""The contract of a metric that recipes name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from ablate.registry import Named

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


class Metric(Named):
    """Base of all metrics: one number from all predictions of a part at once, so it is exact over the set, never a mean of batches."""

    better: ClassVar[Literal["lower", "higher"]] = "higher"

    @abstractmethod
    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """The metric, 0-d, from (n, outputs) and (n, …) over the whole part. Raises ValueError where the data lacks what it needs."""
