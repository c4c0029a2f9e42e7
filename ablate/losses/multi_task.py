"""Several losses for one network; each task has its own columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from ablate.losses.classification import CrossEntropy, mean_of
from ablate.losses.loss import Loss
from ablate.registry import Card, lookup, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec

TaskLoss = Literal["mse", "l1", "smooth_l1", "huber", "bce", "cross_entropy", "focal", "mse_on_softmax"]


class TaskOf(BaseModel):
    """One task: its loss, the number of its outputs, its weight.

    A classification loss has one target column, of class indices, for its ``outputs`` classes; any other loss has one
    target column per output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    loss: TaskLoss = Field(default="mse", description="a built-in loss, with default settings")
    outputs: int = Field(ge=1, description="number of the network's outputs for this task, in order")
    weight: Annotated[float, Range(ge=0)] = Field(default=1.0, description="weight of this task")

    @property
    def of_classes(self) -> bool:
        """Whether its one target column contains class indices."""
        loss = lookup("loss", self.loss).settings
        return issubclass(loss, Loss) and loss.task == "classification"

    @property
    def columns(self) -> int:
        """Number of target columns of this task."""
        return 1 if self.of_classes else self.outputs


@register(
    "loss",
    "multi_task",
    card=Card(
        "Weighted sum of one loss per task, with fixed or balanced weights.",
        source="Caruana 1997, Multitask Learning",
        helps="For tasks that share features, with few samples for each.",
        costs="With losses of different magnitude, the largest dominates. Tasks can also impair each other.",
        interacts=(
            "With balance: magnitude, all tasks start near 1. Columns of class indices cannot be mixed (mixup, "
            "cutmix) or scaled (normalise_targets)."
        ),
    ),
)
class MultiTask(Loss):
    """Σ weight·loss/magnitude over tasks; predictions (N, Σ outputs), targets (N, Σ columns) float, NaN if missing.

    ``balance: magnitude`` divides each task's loss by that of the best constant prediction on the training set (mse:
    the variance of the targets; cross_entropy: the entropy of the class frequencies), so every task starts near 1, and
    0.1 has the same meaning for all. ``none``: magnitudes are 1.
    """

    task = "regression"

    tasks: tuple[TaskOf, ...] = Field(min_length=1, description="the tasks, in the order of outputs and target columns")
    balance: Literal["none", "magnitude"] = Field(
        default="none",
        description="none: use the weights only; magnitude: divide each loss by that of a constant prediction",
    )

    _magnitudes: tuple[float, ...] | None = PrivateAttr(default=None)

    @field_validator("tasks")
    @classmethod
    def _some_weight(cls, tasks: tuple[TaskOf, ...]) -> tuple[TaskOf, ...]:
        if not any(task.weight for task in tasks):
            raise ValueError("must have a weight above 0 for at least one task.")
        return tasks

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not floats, or the outputs of the tasks and the network differ."""
        super().check(name, spec)
        outputs = sum(task.outputs for task in self.tasks)
        if outputs != spec.outputs:
            raise ValueError(
                f"loss.tasks (={[task.outputs for task in self.tasks]} outputs) must have {spec.outputs} outputs "
                f"in total, as the data, but have {outputs}."
            )

    def for_data(self, targets: Tensor | None, spec: Spec) -> Self:
        """Measures the magnitudes if needed.

        Raises ValueError if targets are streamed or those of a task are constant.
        """
        if self.balance == "none":
            return self
        if targets is None:
            raise ValueError(
                "loss.balance (=magnitude) requires targets in memory, but the training targets are streamed. "
                "Set the weights of the tasks instead."
            )
        told = self.model_copy()
        values = []
        for i, task in enumerate(self.tasks):
            own = list(self._parts(targets.new_zeros(len(targets), self._width), targets.double()))[i][2]
            values.append(of_constant(task, own))
            if not values[-1] > 0:
                raise ValueError(
                    f"loss.tasks[{i}] (={task.loss}) has constant targets, so its loss has no magnitude. Remove "
                    "the task, or set balance: none."
                )
        told._magnitudes = tuple(values)
        return told

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if the shapes do not match."""
        return sum(self._each(prediction, target), prediction.new_zeros(()))

    def weight(self, target: Tensor) -> Tensor | int:
        """The number of known targets of each task."""
        if not self._missing:
            return len(target)
        columns = torch.split(target, [task.columns for task in self.tasks], dim=1)
        return torch.stack([(~own.isnan()).sum() for own in columns])

    @property
    def terms(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        return (lambda prediction, target: torch.stack(list(self._each(prediction, target)))) if self._missing else None

    def _each(self, prediction: Tensor, target: Tensor) -> Iterator[Tensor]:
        """The weighted loss of each task."""
        magnitudes = self._magnitudes or (1.0,) * len(self.tasks)
        for (task, own, truth), magnitude in zip(self._parts(prediction, target), magnitudes, strict=True):
            yield task.weight / magnitude * loss_of(task, own, truth)

    @property
    def of_classes(self) -> bool:
        """Whether any target column contains class indices, which cannot be added or scaled."""
        return any(task.of_classes for task in self.tasks)

    @property
    def _width(self) -> int:
        return sum(task.outputs for task in self.tasks)

    def _parts(self, prediction: Tensor, target: Tensor) -> Iterator[tuple[TaskOf, Tensor, Tensor]]:
        """Each task with its predictions (N, outputs) and targets (N, columns)."""
        columns = sum(task.columns for task in self.tasks)
        shapes = tuple(prediction.shape[1:]), tuple(target.shape[1:])
        if shapes != ((self._width,), (columns,)):
            raise ValueError(
                f"loss (=multi_task) requires {self._width} predictions and {columns} targets per sample, but "
                f"they are {tuple(prediction.shape)} and {tuple(target.shape)}. Change loss.tasks."
            )
        predictions = torch.split(prediction, [task.outputs for task in self.tasks], dim=1)
        targets = torch.split(target, [task.columns for task in self.tasks], dim=1)
        yield from zip(self.tasks, predictions, targets, strict=True)


def loss_of(task: TaskOf, prediction: Tensor, target: Tensor) -> Tensor:
    """The loss of one task, 0-d, from (N, outputs) and (N, columns); NaN targets are missing."""
    loss = lookup("loss", task.loss).settings()
    assert isinstance(loss, Loss)
    if not task.of_classes:
        return loss(prediction, target)
    classes = target[:, 0].nan_to_num(-100).long()
    if isinstance(loss, CrossEntropy):
        # torch's mean over no samples is NaN
        return mean_of(torch.nn.functional.cross_entropy(prediction, classes, reduction="none"), classes >= 0)
    return loss(prediction, classes)


def of_constant(task: TaskOf, target: Tensor) -> float:
    """The loss of a task if all predictions are the targets' mean or median, whichever is better; for classes, the
    frequencies. Targets (n, columns).
    """
    if task.of_classes:
        known = target[:, 0][~target[:, 0].isnan()].long()
        share = torch.bincount(known, minlength=task.outputs).double() / len(known)
        constants = [share.clamp(min=1e-12).log()]
    elif task.loss == "bce":
        constants = [target.nanmean(dim=0).clamp(1e-12, 1 - 1e-12).logit()]
    else:
        constants = [target.nanmean(dim=0), target.nanmedian(dim=0).values]
    return min(float(loss_of(task, constant.expand(len(target), -1), target)) for constant in constants)
