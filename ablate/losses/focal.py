"""Cross-entropy that looks away from what is learned already."""

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
        "Cross-entropy that counts well-classified samples less.",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5",
        helps="Very unlike sizes of classes, where many easy samples drown the rare hard ones.",
        costs="Probabilities come out too cautious; wrong labels are hard samples too.",
        interacts="gamma 0 is cross_entropy. Balances classes by alpha: leave class_weights and balanced sampling out.",
    ),
)
class Focal(Loss):
    """−α(1 − p)^γ log p of the true class's softmax probability p, mean over the samples.

    Targets are class numbers (N, …), or probabilities (N, classes, …), over which the classes' losses are summed with these weights.
    """

    task = "classification"
    shorthand = "gamma"

    gamma: Annotated[float, Range(ge=0)] = Field(default=2.0, description="how fast easy samples stop counting")
    alpha: Annotated[float, Range(gt=0, lt=1)] | tuple[Annotated[float, Range(ge=0)], ...] | None = Field(
        default=None,
        description="a weight for each class; of two classes, one number for class 1, and 1 - it for class 0",
    )

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError where targets are no classes, or alpha does not fit their number."""
        super().check(name, spec)
        if self.alpha is not None and len(self._weights()) != spec.outputs:
            shown = list(self.alpha) if isinstance(self.alpha, tuple) else self.alpha
            raise ValueError(f"loss.alpha (={shown}) must have a number for each of the {spec.outputs} classes.")

    def _weights(self) -> tuple[float, ...]:
        assert self.alpha is not None
        return self.alpha if isinstance(self.alpha, tuple) else (1 - self.alpha, self.alpha)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError where targets are no classes."""
        truth, counts = probabilities("focal", prediction, target)
        log_p = prediction.log_softmax(dim=1)
        each = -truth * log_p
        if self.gamma:
            # 1 − p without cancelling; not quite 0, where the power of a gamma below 1 has no gradient
            rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
            each = each * rest**self.gamma
        if self.alpha is not None:
            each = each * constant_like(self._weights(), each).view(-1, *(1 for _ in each.shape[2:]))
        return mean_of(each.sum(dim=1), counts)
