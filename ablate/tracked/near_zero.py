"""Weights that are nearly zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch
from ablate.tricks.shared.replicas import weights

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "watch",
    "near_zero",
    card=Card(
        "Records the fraction of weights that are nearly zero.",
        source=(
            "Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks: pruning by a "
            "threshold"
        ),
        helps="To estimate how many weights can be pruned: l1 produces many near-zero weights, weight decay few.",
        costs="One pass over the weights after each epoch.",
        interacts=(
            "Unused weights decrease to zero with any weight decay. Not meaningful for weights followed by batch "
            "norm, which are scale-invariant."
        ),
    ),
)
class NearZero(Watch):
    """The fraction of weights with |w| < ``below`` at the end of an epoch, over all unfrozen weights with two or more
    axes.
    """

    shorthand = "below"
    names = ("near_zero",)

    below: Annotated[float, Range(gt=0)] = Field(default=0.001, description="threshold of the absolute value")

    _parameters: Mapping[str, Tensor] = PrivateAttr(default_factory=dict)

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = parameters

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        found = list(weights(self._parameters, self.context))
        if not found:
            return {}
        small = [(tensor.detach().abs() < self.below).reshape(self.count, -1).sum(dim=1) for tensor in found]
        total = sum(tensor.numel() for tensor in found) // self.count
        return {"near_zero": torch.stack(small).sum(dim=0).double() / total}
