"""L1 penalty on the weights, applied to their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.replicas import weights
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "trick",
    "l1",
    card=Card(
        "Applies an L1 penalty to the weights, which makes them sparse.",
        source="Tibshirani 1996, Regression Shrinkage and Selection via the Lasso",
        helps="When few of the inputs matter, and for networks that will be pruned.",
        costs="One more hyperparameter. Weights oscillate around 0 by about rate · lr and are never exactly 0.",
        interacts=(
            "Applied before clipping. adam divides the penalty by the gradient's size, so it mainly affects weights "
            "with small gradients."
        ),
    ),
)
class L1(Trick):
    """Adds rate·sign(w), the gradient of ``rate``·Σ|w|, to each weight's gradient.

    The training loss does not include the penalty.
    """

    stacked = True
    shorthand = "rate"
    examples = ({}, {"rate": {"linear": [0, 0.1]}, "biases_and_norms": True})

    rate: Annotated[Scheduled[float], Range(ge=0)] = Field(default=1e-5, description="coefficient of the L1 penalty")
    biases_and_norms: bool = Field(default=False, description="include biases and the parameters of norms")

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for weight in weights(parameters, self.context, biases_and_norms=self.biases_and_norms):
                if weight.grad is not None:
                    weight.grad.add_(weight.sign(), alpha=self.now.rate)
