"""Fluctuation of a validation curve."""

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
        "Records the standard deviation of a validation metric over recent epochs.",
        source="numpy.std with ddof=1 over a sliding window",
        helps="To measure how much the final value fluctuates between epochs; decays with the learning rate.",
        costs="Nothing.",
        interacts=(
            "A curve that is still decreasing also has a standard deviation. Compare variants whose curves are flat "
            "at the end."
        ),
    ),
)
class Jitter(Watch):
    """Standard deviation (ddof 1) of the last ``epochs`` values, or of all values if there are fewer, from the second
    epoch on.
    """

    shorthand = "epochs"
    names = ("jitter",)

    epochs: int = Field(default=10, ge=2, description="number of epochs of the standard deviation")
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
