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

    def each(self, prediction: Tensor, target: Tensor, spec: Spec) -> tuple[Tensor, Tensor] | None:
        """The metric of each sample and its weight, both (n,), float64, if the metric of a set is the weighted mean of
        those of its samples; None if it is not, as a root or a ratio.
        """
        return None


class MeanMetric(Metric):
    """A metric that is a mean over all samples, positions or outputs whose target is known."""

    @abstractmethod
    def elements(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What is averaged, and whether the target is known, both (n, …).

        Raises ValueError if the data do not match.
        """

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        elements, known = self.elements(prediction, target)
        return elements[known].to(torch.float64).mean()

    def each(self, prediction: Tensor, target: Tensor, spec: Spec) -> tuple[Tensor, Tensor] | None:
        elements, known = self.elements(prediction, target)
        n = len(known)
        sums = torch.where(known, elements.to(torch.float64), 0.0).reshape(n, -1).sum(dim=1)
        weights = known.reshape(n, -1).sum(dim=1)
        return sums / weights.clamp(min=1), weights.to(torch.float64)


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

    From predictions (n, classes, …) and targets (n, …); see `scores`.
    """
    logits, truth = (values.flatten(0, 1) for values in scores(name, prediction, target))
    known = truth >= 0
    return logits[known], truth[known]


def scores(name: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, positions, classes) and targets (n, positions) from predictions (n, classes, …) and targets (n, …).

    A single score (n, 1, …) is expanded to two classes, with scores 0 and it. Raises ValueError if targets are not
    class indices.
    """
    fits = prediction.dim() > 1 and target.shape == prediction.shape[:1] + prediction.shape[2:]
    if not fits or target.is_floating_point():
        kind = "continuous values" if target.is_floating_point() else "class indices"
        raise ValueError(
            f"metric (={name}) requires predictions (n, classes, …) and class indices (n, …), but predictions have "
            f"shape {tuple(prediction.shape)}, and targets are {kind} of shape {tuple(target.shape)}."
        )
    logits = prediction.movedim(1, -1).reshape(len(target), -1, prediction.shape[1])
    if logits.shape[2] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=2)
    return logits, target.reshape(len(target), -1)


def errors(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    """Predictions minus targets in float64, (n,) over all known targets."""
    prediction, target = numbers(name, prediction, target)
    return (prediction - target)[~target.isnan()]
