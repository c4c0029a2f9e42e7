"""Dropout of whole channels after pools: dropout2d for pictures, dropout3d for volumes."""

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
    """Inserts a channelwise `NoisyDropout` behind each pool of ``dimensions`` dimensions, under the pool's name and its own (``pool1_dropout2d``)."""

    name: ClassVar[str]
    dimensions: ClassVar[int]

    stacked = True
    shorthand = "rate"
    order = 60

    rate: DropRate | tuple[DropRate, ...] = Field(default=0.1, description="drop rate after pools: of all, or of each")

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises ValueError where a list has another length than there are pools, `NoEffect` where there is no pool or all rates are 0."""
        from ablate.layers.noisy_dropout import NoisyDropout

        places = [(parent, pool) for parent, pool, _ in places_after_pools(model) if self._fits(parent._modules[pool])]
        if isinstance(self.rate, tuple) and len(self.rate) != len(places):
            shown = [rate.dump() if isinstance(rate, Schedule) else rate for rate in self.rate]
            raise ValueError(
                f"{self.name}.rate (={shown}) must have a rate for each of the network's {len(places)} pools, or be one number for all."
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
            why = "all rates are 0" if places else f"the network has no nn.Sequential with a {self.dimensions}-d pool"
            raise NoEffect(f"{self.name} changes nothing: {why}.")
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
        "Drops whole feature maps at random in training, after pools.",
        source="Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks (SpatialDropout)",
        helps="Convolutions: neighbouring pixels are so alike that dropping single ones drops nothing.",
        costs="More epochs; the train loss is measured with maps missing, so compare train_loss_clean. High rates hardly learn.",
        interacts="Takes the place of dropout's conv rates; together both drop.",
    ),
)
class Dropout2d(DropoutChannels):
    """Each channel (H, W) behind a 2-d pool is zeroed with probability ``rate``, the others are divided by 1 − rate."""

    name = "dropout2d"
    dimensions = 2


@register(
    "trick",
    "dropout3d",
    card=Card(
        "Drops whole feature volumes at random in training, after pools.",
        source="Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks (SpatialDropout)",
        helps="Convolutions over volumes, such as scans, whose neighbouring voxels are alike.",
        costs="More epochs; the train loss is measured with volumes missing, so compare train_loss_clean. High rates hardly learn.",
        interacts="Takes the place of dropout's conv rates; together both drop.",
    ),
)
class Dropout3d(DropoutChannels):
    """Each channel (D, H, W) behind a 3-d pool is zeroed with probability ``rate``, the others are divided by 1 − rate."""

    name = "dropout3d"
    dimensions = 3
