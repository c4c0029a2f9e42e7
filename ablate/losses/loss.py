"""The base class of losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

from ablate.data.dataset import Task
from ablate.registry import Named

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec

KINDS = {"classification": "class indices", "regression": "continuous values"}
"""Names of the targets of each task, for errors."""


class Loss(Named):
    """Base of all losses: a mean over a batch, and the weight of that mean in the mean over several batches.

    The loss of several batches, as in `accumulate` and in the mean over an epoch, is that of one large batch.
    """

    task: ClassVar[Task | None] = None
    """Task of the loss: classification, regression, or either (None)."""

    any_targets: ClassVar[bool] = False
    """Whether targets and predictions may be nests."""

    _missing: ClassVar[bool] = True
    """Whether targets can be missing. A private attribute of pydantic would take 3 µs each time it is read."""

    def for_targets(self, *, missing: bool) -> Self:
        """The same loss, given whether targets can be missing.

        Without missing targets it takes 0.6 times as long (mse, one CPU thread).

        This is known when the data are loaded (``targets.isnan().any()``, once); checking every batch would wait for
        the device. By default, a loss expects missing targets.
        """
        told = self.model_copy()
        vars(told)["_missing"] = missing
        return told

    def check(self, name: str, spec: Spec) -> None:
        """Raise ValueError (one line) if the data do not match this loss; ``name`` is its name in the recipe.

        Called as soon as the facts of the data are known.
        """
        if self.task is not None and spec.task not in (self.task, "other"):
            raise ValueError(
                f"loss (={name}) requires {KINDS[self.task]} as targets, but the targets are {KINDS[spec.task]}."
            )

    def for_data(self, targets: Tensor | None, spec: Spec) -> Self:
        """The same loss, given the targets (n, …) of the training set; None if streamed.

        Raises ValueError if they do not match.
        """
        return self

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch, 0-d, from (N, outputs) and (N, …). Missing targets (NaN) are ignored."""

    def weight(self, target: Tensor) -> Tensor | int:
        """What the mean is divided by: the batch's number of samples or, if targets can be missing, of known targets;
        0-d, or (K,) for a sum of K means (`terms`).
        """
        return len(target)

    @property
    def terms(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """If the loss is a sum of means with different weights, a function that returns them, (K,); else None."""
        return None
