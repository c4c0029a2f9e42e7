"""Targets as class probabilities, which tricks can mix, smooth and weight before the loss is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.losses.multi_task import MultiTask
from ablate.registry.lazy import torch
from ablate.trees import leaves, tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.recipe.settings import Settings


def soft(batch: Batch) -> Tensor:
    """A batch's targets as floats: class indices (..., N) become one-hot (..., N, classes); floats do not change.

    Class masks (..., N, H, W) become (..., N, classes, H, W). Class indices below 0, such as −100, which losses ignore,
    become NaN: missing, as in other float targets.
    """
    targets = batch.targets
    if targets.is_floating_point():
        return targets
    classes = torch.arange(batch.spec.outputs, device=targets.device)
    hot = (targets[..., None] == classes).to(float_type(batch)).masked_fill_((targets < 0)[..., None], torch.nan)
    return hot.movedim(-1, class_axis(batch, hot))


def float_type(batch: Batch) -> torch.dtype:
    """The dtype of a batch's floats; float32 for tokens."""
    return next((one.dtype for one in tensors(batch.inputs) if one.is_floating_point()), torch.float32)


def class_axis(batch: Batch, probabilities: Tensor) -> int:
    """The class axis of soft targets, counted from the right: after the samples, as in torch's cross-entropy."""
    form = batch.spec.input_form
    shape = batch.spec.input_shape if form is None else next(leaves(form))
    lead = next(tensors(batch.inputs)).dim() - len(shape) - 1
    return lead + 1 - probabilities.dim()


def check_classes(trick: str, spec: Spec) -> None:
    """Raise ValueError (one line) if targets are not classes."""
    if spec.task == "regression" or spec.keypoints is not None:
        raise ValueError(
            f"trick (={trick}) requires class indices as targets, but the targets are continuous values. Remove it."
        )


def check_columns(trick: str, settings: Settings) -> None:
    """Raise ValueError (one line) if some target columns are class indices (loss multi_task)."""
    loss = settings.loss.options
    if isinstance(loss, MultiTask) and loss.of_classes:
        raise ValueError(
            f"trick (={trick}) requires regression targets or one class per sample, but loss (=multi_task) has "
            "columns of class indices. Remove it."
        )
