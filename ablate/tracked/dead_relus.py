"""Units that no sample switches on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch

if TYPE_CHECKING:
    from torch import Tensor, nn


@register(
    "watch",
    "dead_relus",
    card=Card(
        "The share of ReLU units that are zero for every sample.",
        source="Maas, Hannun and Ng 2013, Rectifier Nonlinearities; Lu et al. 2019, Dying ReLU and Initialization",
        helps="A unit that is never on gets no gradient and never comes back: a rate that is too high, or a bad init, shows here first.",
        costs="A forward pass over some training samples after each epoch, one seed after another.",
        interacts="Only nn.ReLU layers are looked at, not calls of a function: a network without any has no such number. Batch norm brings it down.",
    ),
)
class DeadRelus(Watch):
    """Of a layer's units (of convolutions, channels: zero at all places), the share that is 0 for every one of the samples, in evaluation mode.

    ``dead_relus`` is the share of all units of the network, ``dead_relus/<layer>`` of one layer's.
    """

    shorthand = "samples"
    names = ("dead_relus",)

    samples: int = Field(
        default=256, ge=1, description="training samples to look at, spread evenly; the same in every epoch"
    )
    per_layer: bool = Field(default=True, description="also of each layer alone, as dead_relus/<layer>")

    _alive: dict[int, dict[str, Tensor]] = PrivateAttr(default_factory=dict)

    def begin(self, epoch: int) -> None:
        self._alive = {}

    def layers(self, network: nn.Module) -> dict[str, nn.Module]:
        return {name: layer for name, layer in network.named_modules() if isinstance(layer, torch.nn.ReLU)}

    def on_layers(self, seed: int, outputs: Mapping[str, list[Tensor]]) -> None:
        self._alive[seed] = {
            layer: torch.cat([alive_units(output) for output in calls]) for layer, calls in outputs.items() if calls
        }

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        seeds = [self._alive[i] for i in range(self.count)] if self._alive else []
        if not seeds or not seeds[0]:
            return {}
        shares = {"dead_relus": torch.stack([dead_share(torch.cat(list(layers.values()))) for layers in seeds])}
        if self.per_layer:
            for layer in seeds[0]:
                shares[f"dead_relus/{layer}"] = torch.stack([dead_share(layers[layer]) for layers in seeds])
        return shares


def alive_units(output: Tensor) -> Tensor:
    """Which units of an output (n, units, …) are above zero for any sample, at any place: (units,)."""
    return (output > 0).flatten(2).any(dim=2).any(dim=0) if output.dim() > 2 else (output > 0).any(dim=0)


def dead_share(alive: Tensor) -> Tensor:
    """The share of units that are not alive, 0-d float64."""
    return 1 - alive.to(torch.float64).mean()
