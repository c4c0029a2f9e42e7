"""How restless a validation curve is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.tracked.watch import Numbers, Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register(
    "watch",
    "jitter",
    card=Card(
        "The standard deviation of a valid metric over the last epochs.",
        source="numpy.std with ddof=1 over a sliding window",
        helps="Says how much of a row's last number is chance of the last epoch: dropout leaves it, a falling rate takes it away.",
        costs="Nothing.",
        interacts="A curve that still falls has a deviation too. Compare it at the end of rows that have levelled off.",
    ),
)
class Jitter(Watch):
    """sd (ddof 1) of the last ``epochs`` values; of all so far while they are fewer, from the second epoch on."""

    shorthand = "epochs"
    names = ("jitter",)

    epochs: int = Field(default=10, ge=2, description="how many epochs the deviation is over")
    metric: str = Field(default="valid_loss", description="a loss, or one of the recipe's metrics")

    _last: list[list[float]] = PrivateAttr(default_factory=list)

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, NDArray[np.float64]]:
        """Raises ValueError for a metric that is not measured."""
        if self.metric not in numbers:
            raise ValueError(f"watch jitter.metric (={self.metric}) must be one of {', '.join(numbers)}.")
        self._last = [*self._last, numbers[self.metric].tolist()][-self.epochs :]
        return {"jitter": np.std(self._last, axis=0, ddof=1)} if len(self._last) > 1 else {}

    def state(self) -> dict[str, Any]:
        return {"last": self._last}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._last = [list(values) for values in state["last"]]
