"""A penalty on the absolute size of weights, through their gradients."""

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
        "Pulls all weights towards zero by the same amount: sparse weights.",
        source="Tibshirani 1996, Regression Shrinkage and Selection via the Lasso",
        helps="Inputs of which few matter; networks that are to be pruned.",
        costs="One more number to tune. Weights come near 0 and jump about it by rate · lr: they are never exactly 0.",
        interacts="Comes before clipping. Adam divides it by the gradient's size: it then pulls where gradients are small.",
    ),
)
class L1(Trick):
    """The gradient of ``rate``·Σ|w|, rate·sign(w), is added to each weight's own. The penalty is not part of the train loss."""

    stacked = True
    shorthand = "rate"

    rate: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=1e-5, description="times the sign of the weight, added to its gradient"
    )
    biases_and_norms: bool = Field(default=False, description="pull biases and the weights of norms too")

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for weight in weights(parameters, self.context, biases_and_norms=self.biases_and_norms):
                if weight.grad is not None:
                    weight.grad.add_(weight.sign(), alpha=self.now.rate)
