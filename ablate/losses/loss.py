"""The contract of a loss that recipes name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import PrivateAttr

from ablate.data.dataset import Task
from ablate.registry import Named

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec

KINDS = {"classification": "class numbers", "regression": "numbers"}
"""What targets of a task are, in errors."""


class Loss(Named):
    """Base of all losses: a mean over a batch, and what that mean is to be weighted by in the mean of an epoch."""

    task: ClassVar[Task | None] = None
    """What the targets must be: class numbers, numbers, or either (None)."""

    _missing: bool = PrivateAttr(default=True)

    def for_targets(self, *, missing: bool) -> Self:
        """The same loss, told once whether targets can be missing; without them it takes 0.6 of the time (mse, one CPU thread).

        Whoever loads the data knows it (``targets.isnan().any()``, once): asking every batch would wait for the device. Untold, a loss expects gaps.
        """
        told = self.model_copy()
        told._missing = missing
        return told

    def check(self, name: str, spec: Spec) -> None:
        """Raise ValueError in one line where this loss does not fit the data; ``name`` is the recipe's. Asked as soon as the data's facts are known."""
        if self.task is not None and spec.task not in (self.task, "other"):
            raise ValueError(
                f"loss (={name}) needs targets that are {KINDS[self.task]}; the data's are {KINDS[spec.task]}."
            )

    def for_data(self, targets: Tensor | None, spec: Spec) -> Self:
        """The same loss, told once what the training part's targets are (n, …); None where they are streamed. Raises ValueError where they do not fit."""
        return self

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's loss, 0-d, from (N, outputs) and (N, …). NaN targets are missing: they count neither in the sum nor in the number."""

    def weight(self, target: Tensor) -> Tensor | int:
        """What the batch's mean stands for in the epoch's mean: its samples, or (where targets are missing) its known targets."""
        return len(target)
