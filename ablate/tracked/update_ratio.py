"""Size of weight updates relative to the weights."""

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
        "Records the size of updates relative to the weights, per layer.",
        source="Karpathy, CS231n, Neural Networks Part 3: ratio of weights to updates",
        helps=(
            "To check the learning rate: about 1e-3 is usual. If the ratio is much larger, the learning rate is too "
            "high; if it is much smaller, it is too low, or the layer does not learn."
        ),
        costs="A copy of the weights and a pass over them in each recorded step.",
        interacts="Includes everything that changes the weights: the optimizer's step and tricks such as max_norm.",
    ),
)
class UpdateRatio(Watch):
    """‖w(after) − w(before)‖/‖w(before)‖ of each layer, averaged over the steps of an epoch, and its mean over the
    layers.

    Uses unfrozen weights with two or more axes, without biases and norms, which may start at zero.
    """

    shorthand = "every"
    names = ("update_ratio",)

    every: int = Field(
        default=1, ge=1, description="interval between recorded steps, starting with the first of an epoch"
    )
    per_layer: bool = Field(default=True, description="also record each layer, as update_ratio/<layer>")

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
