"""The base of metrics, and which of their targets are known."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from ablate.data.dataset import Task
from ablate.losses.loss import KINDS
from ablate.registry import Named
from ablate.registry.lazy import torch

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
                f"metric (={name}) requires {KINDS[self.task]} as targets, but the targets are {KINDS[spec.task]}."
            )

    @abstractmethod
    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """The metric, 0-d, from (n, outputs) and (n, …) over the whole split.

        Raises ValueError if the data do not match.
        """


def numbers(name: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and targets (n, outputs) in float64, missing targets NaN.

    Raises ValueError if their shapes differ.
    """
    if prediction.shape == (*target.shape, 1):
        target = target.unsqueeze(-1)
    if prediction.shape != target.shape or not target.is_floating_point():
        kind = "continuous values" if target.is_floating_point() else "class indices"
        raise ValueError(
            f"metric (={name}) requires a continuous target for each output, but predictions have shape "
            f"{tuple(prediction.shape)}, and targets are {kind} of shape {tuple(target.shape)}."
        )
    return prediction.double().flatten(1) if prediction.dim() > 1 else prediction.double().unsqueeze(1), (
        target.double().flatten(1) if target.dim() > 1 else target.double().unsqueeze(1)
    )


def classes(name: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (m, classes) and class indices (m,) of all m samples or positions with a class (not −100).

    From predictions (n, classes, …) and targets (n, …). A single score (n, 1, …) is expanded to two classes, with
    scores 0 and it. Raises ValueError if targets are not class indices.
    """
    fits = prediction.dim() > 1 and target.shape == prediction.shape[:1] + prediction.shape[2:]
    if not fits or target.is_floating_point():
        kind = "continuous values" if target.is_floating_point() else "class indices"
        raise ValueError(
            f"metric (={name}) requires predictions (n, classes, …) and class indices (n, …), but predictions have "
            f"shape {tuple(prediction.shape)}, and targets are {kind} of shape {tuple(target.shape)}."
        )
    flat = target.flatten()
    logits = prediction.movedim(1, -1).flatten(0, -2)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    known = flat >= 0
    return logits[known], flat[known]


def errors(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    """Predictions minus targets in float64, (n,) over all known targets."""
    prediction, target = numbers(name, prediction, target)
    return (prediction - target)[~target.isnan()]
