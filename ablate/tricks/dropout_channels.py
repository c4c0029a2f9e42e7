"""Dropout of whole channels after pools: dropout2d for images, dropout3d for volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ablate.registry import Card, register
from ablate.schedules import Schedule
from ablate.tricks.dropout import DropRate, insert, places_after_pools
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn


class DropoutChannels(Trick):
    """Inserts a channelwise `NoisyDropout` after each pool of ``dimensions`` dimensions (``pool1_dropout2d``)."""

    name: ClassVar[str]
    dimensions: ClassVar[int]

    stacked = True
    shorthand = "rate"
    order = 60

    rate: DropRate | tuple[DropRate, ...] = Field(
        default=0.1, description="dropout probability after pooling layers: one number, or a list with one per layer"
    )

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises ValueError if the length of a list is not the number of pools, `NoEffect` if there is no pool or all
        probabilities are 0.
        """
        from ablate.layers.dropout import NoisyDropout

        places = [(parent, pool) for parent, pool, _ in places_after_pools(model) if self._fits(parent._modules[pool])]
        if isinstance(self.rate, tuple) and len(self.rate) != len(places):
            shown = [rate.dump() if isinstance(rate, Schedule) else rate for rate in self.rate]
            raise ValueError(
                f"{self.name}.rate (={shown}) must be a number, or a list of length {len(places)} with one number "
                "per pooling layer."
            )
        paths = {module: path for path, module in model.named_modules()}
        inserted = []
        for i, (parent, pool) in enumerate(places):
            if (self.rate[i] if isinstance(self.rate, tuple) else self.rate) != 0:
                layer = NoisyDropout(self._present(i)(), channelwise=True)
                layer.rate = self._present(i)
                insert(parent, pool, f"{pool}_{self.name}", layer)
                inserted.append(f"{paths[parent]}.{pool}_{self.name}".removeprefix("."))
        if not inserted:
            why = (
                "all probabilities are 0"
                if places
                else f"the network has no {self.dimensions}D pooling layer in an nn.Sequential"
            )
            raise NoEffect(f"{self.name} has no effect: {why}.")
        return model, inserted

    def _fits(self, pool: nn.Module | None) -> bool:
        return type(pool).__name__.endswith(f"{self.dimensions}d")

    def _present(self, i: int) -> Callable[[], float]:
        def present() -> float:
            value = self.now.rate
            return float(value[i] if isinstance(value, tuple) else value)

        return present


@register(
    "trick",
    "dropout2d",
    card=Card(
        "Drops whole feature maps at random during training, after pooling layers.",
        source="Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks (SpatialDropout)",
        helps="For convolutions: neighboring pixels are too similar for dropping single ones to have an effect.",
        costs=(
            "Slower convergence, very slow with large probabilities; the training loss is computed with dropped "
            "maps, so compare train_loss_clean."
        ),
        interacts="Use it instead of dropout.conv; if both are set, both are applied.",
    ),
)
class Dropout2d(DropoutChannels):
    """Zeroes each channel (H, W) after a 2-d pool with probability ``rate`` and divides the others by 1 − rate."""

    name = "dropout2d"
    dimensions = 2
    examples = ({"rate": 0.5}, {"rate": [{"linear": [0.5, 0.3]}]})


@register(
    "trick",
    "dropout3d",
    card=Card(
        "Drops whole feature volumes at random during training, after pooling layers.",
        source="Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks (SpatialDropout)",
        helps="For convolutions over volumes, such as scans, whose neighboring voxels are similar.",
        costs=(
            "Slower convergence, very slow with large probabilities; the training loss is computed with dropped "
            "volumes, so compare train_loss_clean."
        ),
        interacts="Use it instead of dropout.conv; if both are set, both are applied.",
    ),
)
class Dropout3d(DropoutChannels):
    """Zeroes each channel (D, H, W) after a 3-d pool with probability ``rate`` and divides the others by 1 − rate."""

    name = "dropout3d"
    dimensions = 3
    examples = ({"rate": 0.5}, {"rate": [{"linear": [0.5, 0.3]}]})
    example_needs = "volumes"
