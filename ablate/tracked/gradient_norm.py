"""Norm of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.means import EpochMeans
from ablate.tracked.watch import Numbers, Watch, by_layer, norms, vector_norm
from ablate.tricks.trick import Context

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "watch",
    "gradient_norm",
    card=Card(
        "Records the norm of the gradient, overall and per layer.",
        source="Glorot and Bengio 2010, section 4.2; Pascanu, Mikolov and Bengio 2013",
        helps=(
            "To detect vanishing gradients (first layers far below the last) and exploding gradients (before the "
            "loss is NaN), and to choose the limit of clip_norm."
        ),
        costs="A pass over the gradients in each recorded step.",
        interacts=(
            "Recorded before clip_norm and clip_value. With accumulate it is the gradient of all batches of a step, "
            "with sam that of the second pass."
        ),
    ),
)
class GradientNorm(Watch):
    """√(Σ g²) over all weights, or those of one layer, averaged over the steps of an epoch.

    Includes penalties that tricks add to the loss.
    """

    shorthand = "every"
    names = ("gradient_norm",)

    every: int = Field(
        default=1, ge=1, description="interval between recorded steps, starting with the first of an epoch"
    )
    per_layer: bool = Field(default=True, description="also record each layer, as gradient_norm/<layer>")

    _means: EpochMeans = PrivateAttr()

    def bind(self, context: Context, samples: int) -> None:
        super().bind(context, samples)
        self._means = EpochMeans(self.every)

    def begin(self, epoch: int) -> None:
        self._means.begin()

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        if not self._means.due():
            return
        known = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        if not known:
            return
        layers = {layer: norms([known[name] for name in own], self.count) for layer, own in by_layer(known).items()}
        values = {"gradient_norm": vector_norm(torch.stack(list(layers.values()), dim=1))}
        if self.per_layer:
            values |= {f"gradient_norm/{layer}": value for layer, value in layers.items()}
        self._means.add(values)

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._means.stepped()

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        return self._means.read()
