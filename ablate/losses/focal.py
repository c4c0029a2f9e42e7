"""Focal loss: cross-entropy with less weight on easy samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.losses.class_targets import mean_of, probabilities
from ablate.losses.loss import Loss
from ablate.registry import Card, register
from ablate.registry.constants import constant_like
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "loss",
    "focal",
    card=Card(
        "Cross-entropy that gives well-classified samples less weight.",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5",
        helps="For strong class imbalance, if many easy samples dominate the loss.",
        costs="Underconfident probabilities; wrong labels count as hard samples.",
        interacts=(
            "gamma: 0 equals cross_entropy. Use alpha to balance classes instead of class_weights or balanced_sampling."
        ),
    ),
)
class Focal(Loss):
    """−α(1 − p)^γ log p of the true class's softmax probability p, averaged over the samples.

    Targets are class indices (N, …), or probabilities (N, classes, …), which weight the losses of the classes.
    """

    task = "classification"
    shorthand = "gamma"

    gamma: Annotated[float, Range(ge=0)] = Field(
        default=2.0, description="focusing parameter: larger values give easy samples less weight"
    )
    alpha: Annotated[float, Range(gt=0, lt=1)] | tuple[Annotated[float, Range(ge=0)], ...] | None = Field(
        default=None,
        description="one weight per class; for two classes, one number for class 1, with 1 - alpha for class 0",
    )

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not classes, or alpha does not match the number of classes."""
        super().check(name, spec)
        if self.alpha is not None and len(self._weights()) != spec.outputs:
            shown = list(self.alpha) if isinstance(self.alpha, tuple) else self.alpha
            raise ValueError(f"loss.alpha (={shown}) must have one number for each of the {spec.outputs} classes.")

    def _weights(self) -> tuple[float, ...]:
        assert self.alpha is not None
        return self.alpha if isinstance(self.alpha, tuple) else (1 - self.alpha, self.alpha)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if targets are not classes."""
        truth, counts = probabilities("focal", prediction, target)
        log_p = prediction.log_softmax(dim=1)
        each = -truth * log_p
        if self.gamma:
            # 1 − p without cancellation; above 0, where the power with gamma below 1 has no gradient
            rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
            each = each * rest**self.gamma
        if self.alpha is not None:
            each = each * constant_like(self._weights(), each).view(-1, *(1 for _ in each.shape[2:]))
        return mean_of(each.sum(dim=1), counts)
