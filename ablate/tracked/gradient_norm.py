"""How large the gradients are."""

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
        "The length of the gradient, of all weights and of each layer's.",
        source="Glorot and Bengio 2010, section 4.2; Pascanu, Mikolov and Bengio 2013",
        helps="Vanishing gradients show as first layers far below the last; exploding ones before the loss is NaN; and clip_norm's limit can be read off.",
        costs="A pass over the gradients in each step that counts.",
        interacts="Seen before clip_norm and clip_value clip. With accumulate it is that of all the step's batches, with sam that of the second pass.",
    ),
)
class GradientNorm(Watch):
    """The mean over an epoch's steps of √(Σ g²), where the sum is over all weights or one layer's. Penalties of tricks on the loss are in it."""

    shorthand = "every"
    names = ("gradient_norm",)

    every: int = Field(
        default=1, ge=1, description="steps from one that is measured to the next; the first of an epoch is"
    )
    per_layer: bool = Field(default=True, description="also of each layer alone, as gradient_norm/<layer>")

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
