"""Several losses on one network: each task has columns of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from ablate.losses.class_targets import mean_of
from ablate.losses.cross_entropy import CrossEntropy
from ablate.losses.loss import Loss
from ablate.registry import Card, lookup, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec

TaskLoss = Literal["mse", "l1", "smooth_l1", "huber", "bce", "cross_entropy", "focal", "mse_on_softmax"]


class TaskOf(BaseModel):
    """One task: its loss, its share of the network's outputs, its weight.

    A loss of classes has one target column, of class numbers, for its ``outputs`` classes; any other has a target column for each output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    loss: TaskLoss = Field(default="mse", description="a loss of the library, with its own defaults")
    outputs: int = Field(ge=1, description="how many of the network's outputs are this task's, in order")
    weight: Annotated[float, Range(ge=0)] = Field(default=1.0, description="what this task counts")

    @property
    def of_classes(self) -> bool:
        """Whether its one target column holds class numbers."""
        loss = lookup("loss", self.loss).settings
        return issubclass(loss, Loss) and loss.task == "classification"

    @property
    def columns(self) -> int:
        """How many target columns are this task's."""
        return 1 if self.of_classes else self.outputs


@register(
    "loss",
    "multi_task",
    card=Card(
        "Weighted sum of a loss for each task, weights given or balanced.",
        source="Caruana 1997, Multitask Learning",
        helps="Tasks that can use the same features; less data for each.",
        costs="Losses of unlike size: the largest decides, the others starve. Tasks can also hurt each other.",
        interacts="balance: magnitude makes all tasks begin near 1. Columns of class numbers cannot be mixed (mixup, cutmix) or scaled (normalise_targets).",
    ),
)
class MultiTask(Loss):
    """Σ weight·loss/magnitude over tasks; predictions (N, Σ outputs), targets (N, Σ columns) float, missing ones NaN.

    ``balance: magnitude`` divides each task's loss by what the best constant prediction has on the training part (mse: the targets' variance; cross_entropy:
    the entropy of the class frequencies), so that every task starts near 1, and 0.1 means the same in all of them. ``none``: magnitudes are 1.
    """

    task = "regression"

    tasks: tuple[TaskOf, ...] = Field(min_length=1, description="the tasks, in the order of outputs and target columns")
    balance: Literal["none", "magnitude"] = Field(
        default="none", description="none: weights alone; magnitude: each loss in units of a constant prediction's"
    )

    _magnitudes: tuple[float, ...] | None = PrivateAttr(default=None)

    @field_validator("tasks")
    @classmethod
    def _some_weight(cls, tasks: tuple[TaskOf, ...]) -> tuple[TaskOf, ...]:
        if not any(task.weight for task in tasks):
            raise ValueError("must give some task a weight above 0.")
        return tasks

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError where targets are no numbers, or the tasks' outputs are not the network's."""
        super().check(name, spec)
        outputs = sum(task.outputs for task in self.tasks)
        if outputs != spec.outputs:
            raise ValueError(
                f"loss.tasks (={[task.outputs for task in self.tasks]} outputs) must add up to the data's {spec.outputs} outputs; they are {outputs}."
            )

    def for_data(self, targets: Tensor | None, spec: Spec) -> Self:
        """Measures the magnitudes where they are asked for. Raises ValueError where targets are streamed or a task has nothing to learn."""
        if self.balance == "none":
            return self
        if targets is None:
            raise ValueError(
                "loss.balance (=magnitude) needs targets in memory; the train part's are streamed. Give the tasks weights."
            )
        told = self.model_copy()
        values = []
        for i, task in enumerate(self.tasks):
            own = list(self._parts(targets.new_zeros(len(targets), self._width), targets.double()))[i][2]
            values.append(of_constant(task, own))
            if not values[-1] > 0:
                raise ValueError(
                    f"loss.tasks[{i}] (={task.loss}) has the same target everywhere, so its loss has no magnitude. Drop the task, or set balance: none."
                )
        told._magnitudes = tuple(values)
        return told

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError where the shapes do not fit."""
        magnitudes = self._magnitudes or (1.0,) * len(self.tasks)
        total = prediction.new_zeros(())
        for (task, own, truth), magnitude in zip(self._parts(prediction, target), magnitudes, strict=True):
            total = total + task.weight / magnitude * loss_of(task, own, truth)
        return total

    @property
    def of_classes(self) -> bool:
        """Whether any target column holds class numbers, of which nothing may be added or scaled."""
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
                f"loss (=multi_task) needs {self._width} predictions and {columns} targets for each sample; "
                f"they are {tuple(prediction.shape)} and {tuple(target.shape)}. Change loss.tasks."
            )
        predictions = torch.split(prediction, [task.outputs for task in self.tasks], dim=1)
        targets = torch.split(target, [task.columns for task in self.tasks], dim=1)
        yield from zip(self.tasks, predictions, targets, strict=True)


def loss_of(task: TaskOf, prediction: Tensor, target: Tensor) -> Tensor:
    """One task's loss, 0-d, from (N, outputs) and (N, columns); NaN targets are missing."""
    loss = lookup("loss", task.loss).settings()
    assert isinstance(loss, Loss)
    if not task.of_classes:
        return loss(prediction, target)
    classes = target[:, 0].nan_to_num(-100).long()
    if isinstance(loss, CrossEntropy):
        # torch's own mean over no sample is NaN
        return mean_of(torch.nn.functional.cross_entropy(prediction, classes, reduction="none"), classes >= 0)
    return loss(prediction, classes)


def of_constant(task: TaskOf, target: Tensor) -> float:
    """A task's loss when all predictions are the targets' mean or median, whichever is better; for classes, their frequencies. Targets (n, columns)."""
    if task.of_classes:
        known = target[:, 0][~target[:, 0].isnan()].long()
        share = torch.bincount(known, minlength=task.outputs).double() / len(known)
        constants = [share.clamp(min=1e-12).log()]
    elif task.loss == "bce":
        constants = [target.nanmean(dim=0).clamp(1e-12, 1 - 1e-12).logit()]
    else:
        constants = [target.nanmean(dim=0), target.nanmedian(dim=0).values]
    return min(float(loss_of(task, constant.expand(len(target), -1), target)) for constant in constants)
