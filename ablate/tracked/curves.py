"""Tracked metrics of the curves."""

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


@register(
    "watch",
    "train_valid_ratio",
    card=Card(
        "Records training loss over validation loss, both in evaluation mode.",
        source="Nouri 2014, Using convolutional neural nets to detect facial keypoints: the column train/val",
        helps=(
            "To measure overfitting: 1 is none, 0.3 is strong. Dropout and augmentation are off for both losses, so "
            "they are comparable."
        ),
        costs="13 to 18% of the training time, because the training loss is computed again after every epoch.",
        interacts="Records train_loss_clean in every epoch, like clean_train_loss: every.",
    ),
)
class TrainValidRatio(Watch):
    """``train_loss_clean / valid_loss`` after every epoch."""

    names = ("train_valid_ratio",)
    clean = True

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, NDArray[np.float64]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"train_valid_ratio": numbers["train_loss_clean"] / numbers["valid_loss"]}
