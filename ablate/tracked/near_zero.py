"""How many weights are next to nothing."""

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
        "The share of weights that are next to zero.",
        source="Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks: pruning by a threshold",
        helps="What could be pruned: l1 makes many, weight decay makes small ones but few that are next to nothing.",
        costs="One pass over the weights after each epoch.",
        interacts="Weights that nothing uses shrink to zero under any decay. A threshold says nothing where batch norm undoes the weights' size.",
    ),
)
class NearZero(Watch):
    """The share of weights with |w| < ``below`` at the end of an epoch, over all that have two axes or more and are not frozen."""

    shorthand = "below"
    names = ("near_zero",)

    below: Annotated[float, Range(gt=0)] = Field(default=0.001, description="size under which a weight counts")

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
