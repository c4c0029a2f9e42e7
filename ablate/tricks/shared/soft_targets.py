"""Targets as probabilities of the classes, so that they can be mixed, smoothed and weighted by any trick before the loss sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.losses.multi_task import MultiTask
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.recipe.settings import Settings


def soft(batch: Batch) -> Tensor:
    """A batch's targets as numbers that may be mixed: class numbers (..., N) become 0 and 1 of shape (..., N, classes); floats stay as they are.

    Class masks (..., N, H, W) become (..., N, classes, H, W). What is no class, such as the −100 that losses leave out, is 0 everywhere.
    """
    targets = batch.targets
    if targets.is_floating_point():
        return targets
    classes = torch.arange(batch.spec.outputs, device=targets.device)
    hot = (targets[..., None] == classes).to(float_type(batch))
    return hot.movedim(-1, class_axis(batch, hot))


def float_type(batch: Batch) -> torch.dtype:
    """The type of a batch's floats; tokens have none."""
    return batch.inputs.dtype if batch.inputs.is_floating_point() else torch.float32


def class_axis(batch: Batch, probabilities: Tensor) -> int:
    """Where soft targets have their classes, counted from the right: behind the samples, as torch's cross-entropy wants them."""
    lead = batch.inputs.dim() - len(batch.spec.input_shape) - 1
    return lead + 1 - probabilities.dim()


def check_classes(trick: str, spec: Spec) -> None:
    """Raise ValueError in one line where targets are numbers, not classes."""
    if spec.task == "regression" or spec.landmarks is not None:
        raise ValueError(f"trick (={trick}) needs targets that are classes; the data's are numbers. Drop it.")


def check_columns(trick: str, settings: Settings) -> None:
    """Raise ValueError in one line where some columns of the targets are class numbers (loss multi_task), so that no sum or share of them means anything."""
    loss = settings.loss.options
    if isinstance(loss, MultiTask) and loss.of_classes:
        raise ValueError(
            f"trick (={trick}) needs targets that are numbers or one class; those of loss (=multi_task) have columns of class numbers. Drop it."
        )
