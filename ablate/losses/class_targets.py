"""Class targets, in any form, as probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def probabilities(loss: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Targets as probabilities (N, classes, …), and a mask (N, …) of the samples or positions that are not ignored.

    Class indices (N, …) become one-hot; invalid ones, such as −100, are ignored. Probabilities, as from mixup and
    label_smoothing, are kept and never ignored, as in torch's cross-entropy. Raises ValueError for other shapes.
    """
    classes = prediction.shape[1] if prediction.dim() > 1 else 0
    places = prediction.shape[:1] + prediction.shape[2:]
    if target.is_floating_point() and target.shape == prediction.shape and classes:
        return target, torch.ones(places, dtype=torch.bool, device=target.device)
    if target.is_floating_point() or target.shape != places or not classes:
        kind = "numbers" if target.is_floating_point() else "class indices"
        raise ValueError(
            f"loss (={loss}) requires predictions (N, classes, …) and class indices (N, …) or probabilities (N, "
            f"classes, …), but predictions are {tuple(prediction.shape)}, targets {tuple(target.shape)} {kind}. "
            "Use a loss for such targets, such as mse."
        )
    numbers = torch.arange(classes, device=target.device).view(-1, *(1 for _ in places[1:]))
    hot = (target.unsqueeze(1) == numbers).to(prediction.dtype)
    return hot, target >= 0


def mean_of(each: Tensor, counts: Tensor) -> Tensor:
    """The mean over the values that are not ignored; 0 if there are none."""
    return torch.where(counts, each, 0.0).sum() / counts.sum().clamp(min=1)
