"""How far the outputs of each layer spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch

if TYPE_CHECKING:
    from torch import Tensor, nn


@register(
    "watch",
    "activation_variance",
    card=Card(
        "The variance of what comes out of each layer.",
        source="Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, figure 6",
        helps="An init that fits keeps it about equal over the layers; one that shrinks from layer to layer carries no signal, one that grows explodes.",
        costs="A forward pass over some training samples after each epoch, one seed after another.",
        interacts="Only layers that are modules are looked at: a network that calls relu as a function has those of kind 'weights' alone.",
    ),
)
class ActivationVariance(Watch):
    """The variance (of the population) over samples and units together of a layer's output, in evaluation mode; and its mean over the layers."""

    shorthand = "samples"
    names = ("activation_variance",)

    samples: int = Field(
        default=256, ge=1, description="training samples to look at, spread evenly; the same in every epoch"
    )
    of: Literal["activations", "weights"] = Field(
        default="activations", description="outputs of activation functions, or of layers with weights before them"
    )

    _variances: dict[int, dict[str, Tensor]] = PrivateAttr(default_factory=dict)

    def begin(self, epoch: int) -> None:
        self._variances = {}

    def layers(self, network: nn.Module) -> dict[str, nn.Module]:
        if self.of == "activations":
            return {name: layer for name, layer in network.named_modules() if is_activation(layer)}
        return {
            name: layer
            for name, layer in network.named_modules()
            if any(parameter.dim() >= 2 for parameter in layer.parameters(recurse=False))
        }

    def on_layers(self, seed: int, outputs: Mapping[str, list[Tensor]]) -> None:
        self._variances[seed] = {
            layer: torch.cat([output.flatten().double() for output in calls]).var(correction=0)
            for layer, calls in outputs.items()
            if calls
        }

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        seeds = [self._variances[i] for i in range(self.count)] if self._variances else []
        if not seeds or not seeds[0]:
            return {}
        each = {f"activation_variance/{layer}": torch.stack([own[layer] for own in seeds]) for layer in seeds[0]}
        return {"activation_variance": torch.stack(list(each.values())).mean(dim=0), **each}


def is_activation(layer: nn.Module) -> bool:
    """Whether a layer is one of torch's activation functions."""
    kind = type(layer)
    return kind.__module__ == torch.nn.modules.activation.__name__ and kind is not torch.nn.MultiheadAttention
