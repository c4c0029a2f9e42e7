"""How much better a network knows what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablate.registry import Card, register
from ablate.tracked.watch import Numbers, Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register(
    "watch",
    "train_valid_ratio",
    card=Card(
        "Train loss over valid loss, both in evaluation mode.",
        source="Nouri 2014, Using convolutional neural nets to detect facial keypoints: the column train/val",
        helps="1 is no overfitting, 0.3 a lot of it. Dropout and augmentation are off in both, so that it compares like with like.",
        costs="13 to 18 % of the time: the train loss is measured once more after every epoch.",
        interacts="Records train_loss_clean at every epoch, as 'clean_train_loss: every' does.",
    ),
)
class TrainValidRatio(Watch):
    """``train_loss_clean / valid_loss`` after every epoch."""

    names = ("train_valid_ratio",)
    clean = True

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, NDArray[np.float64]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"train_valid_ratio": numbers["train_loss_clean"] / numbers["valid_loss"]}
