"""How far a step moves the weights, measured by their own length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.means import EpochMeans
from ablate.tracked.watch import Numbers, Watch, by_layer, norms
from ablate.tricks.shared.replicas import lead
from ablate.tricks.trick import Context

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "watch",
    "update_ratio",
    card=Card(
        "How far a step moves each layer's weights, relative to their length.",
        source="Karpathy, CS231n, Neural Networks Part 3: ratio of weights to updates",
        helps="About 1e-3 is healthy: far more, and the learning rate is too high; far less, and it is too low, or the layer stands still.",
        costs="A copy of the weights and a pass over them in each step that counts.",
        interacts="It is what the weights really did: the optimizer's step with everything that tricks add to it, such as max_norm.",
    ),
)
class UpdateRatio(Watch):
    """The mean over an epoch's steps of ‖w(after) − w(before)‖/‖w(before)‖ of each layer, and its mean over the layers.

    Weights with two axes or more count; biases and norms do not, as they may start from zero. Frozen layers do not.
    """

    shorthand = "every"
    names = ("update_ratio",)

    every: int = Field(
        default=1, ge=1, description="steps from one that is measured to the next; the first of an epoch is"
    )
    per_layer: bool = Field(default=True, description="also of each layer alone, as update_ratio/<layer>")

    _means: EpochMeans = PrivateAttr()
    _before: dict[str, Tensor] = PrivateAttr(default_factory=dict)

    def bind(self, context: Context, samples: int) -> None:
        super().bind(context, samples)
        self._means, self._before = EpochMeans(self.every), {}

    def begin(self, epoch: int) -> None:
        self._means.begin()

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        if not self._means.due():
            return
        least = 2 + lead(self.context)
        moving = {name: p for name, p in parameters.items() if p.requires_grad and p.dim() >= least}
        self._before = {name: p.detach().clone() for name, p in moving.items()}

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._means.stepped()
        if not self._before:
            return
        ratios = {}
        for layer, own in by_layer(self._before).items():
            before = [self._before[name] for name in own]
            moved = [parameters[name].detach() - old for name, old in zip(own, before, strict=True)]
            ratios[layer] = norms(moved, self.count) / norms(before, self.count)
        values = {"update_ratio": torch.stack(list(ratios.values())).mean(dim=0)}
        if self.per_layer:
            values |= {f"update_ratio/{layer}": value for layer, value in ratios.items()}
        self._means.add(values)
        self._before = {}

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        return self._means.read()
