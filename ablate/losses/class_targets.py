"""Targets of classes in one form, whatever form they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def probabilities(loss: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Targets as probabilities (N, classes, …), and which samples or places (N, …) count.

    Class numbers (N, …) become 0 and 1, and what is no class, such as −100, does not count; probabilities, as mixup and label_smoothing make them, stay and all
    count, as in torch's cross-entropy. Raises ValueError for any other pair of shapes.
    """
    classes = prediction.shape[1] if prediction.dim() > 1 else 0
    places = prediction.shape[:1] + prediction.shape[2:]
    if target.is_floating_point() and target.shape == prediction.shape and classes:
        return target, torch.ones(places, dtype=torch.bool, device=target.device)
    if target.is_floating_point() or target.shape != places or not classes:
        kind = "numbers" if target.is_floating_point() else "class numbers"
        raise ValueError(
            f"loss (={loss}) needs predictions (N, classes, …) and class numbers (N, …) or probabilities (N, classes, …); "
            f"predictions are {tuple(prediction.shape)}, targets {tuple(target.shape)} {kind}. Use a loss for such targets, such as mse."
        )
    numbers = torch.arange(classes, device=target.device).view(-1, *(1 for _ in places[1:]))
    hot = (target.unsqueeze(1) == numbers).to(prediction.dtype)
    return hot, target >= 0


def mean_of(each: Tensor, counts: Tensor) -> Tensor:
    """The mean over what counts, 0 where nothing does."""
    return torch.where(counts, each, 0.0).sum() / counts.sum().clamp(min=1)
