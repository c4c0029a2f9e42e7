"""Early stopping: stop a seed that no longer improves, and report its best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from ablate.recipe.settings import Monitor
from ablate.registry import Card, register
from ablate.registry.fields import Epochs, Range
from ablate.tricks.trick import Context, Trick

if TYPE_CHECKING:
    from ablate.recipe.settings import Settings


@register(
    "trick",
    "early_stop",
    card=Card(
        "Stops when the validation loss no longer improves; restores the best weights.",
        source="Prechelt 1998, Early Stopping - But When?",
        helps="For networks that overfit, and to save training time.",
        costs="The metric of the best epoch is an optimistic estimate: use a test set.",
        interacts=(
            "A schedule over all epochs is cut off when a seed stops; patience must be longer than the plateaus of "
            "the schedule."
        ),
    ),
)
class EarlyStop(Trick):
    """Stops a seed after ``patience`` consecutive epochs without an improvement of more than ``min_delta``.

    The monitored metric is the settings' ``monitor``, or the trick's own. Each seed of a stack stops separately. With
    ``restore_best``, the reported epoch is the best one, even if training ends before patience runs out; otherwise it
    is the one that the settings select. The first ``start`` epochs are ignored: none of them is the best one. A seed
    that reaches ``goal`` stops immediately. With a ``baseline``, only values better than the baseline count as
    improvements, so a seed that does not reach it within ``patience`` epochs stops.
    """

    stacked = True
    shorthand = "patience"
    examples = ({}, {"patience": 1, "min_delta": 0.5, "baseline": 0.1, "monitor": {"metric": "train_loss"}})

    patience: Epochs = Field(
        default=Epochs(share=0.1), description="number of epochs without improvement before a seed stops; at least 1"
    )
    min_delta: Annotated[float, Range(ge=0)] = Field(
        default=0.0, description="minimum change that counts as an improvement, in the metric's unit"
    )
    baseline: float | None = Field(
        default=None, description="value of the metric that must be improved on within the first 'patience' epochs"
    )
    start: Epochs = Field(default=Epochs(count=0), description="number of initial epochs to ignore")
    goal: float | None = Field(default=None, description="value of the metric at which a seed stops immediately")
    restore_best: bool = Field(default=True, description="report the best epoch and its weights")
    monitor: Monitor | None = Field(
        default=None,
        description="metric to monitor and whether lower or higher is better; null: the monitor of the settings",
    )

    _best: NDArray[np.float64] = PrivateAttr()
    _waited: NDArray[np.int64] = PrivateAttr()

    def bind(self, context: Context) -> None:
        super().bind(context)
        self._best = np.full(len(context.seeds), np.inf if self.baseline is None else self._sign * self.baseline)
        self._waited = np.zeros(len(context.seeds), dtype=np.int64)

    @property
    def _watched(self) -> Monitor:
        return self.monitor or Monitor(metric=self.context.monitor, better=self.context.better)

    @property
    def _sign(self) -> float:
        return 1.0 if self._watched.better == "lower" else -1.0

    def on_settings(self, settings: Settings) -> Settings:
        if not self.restore_best:
            return settings
        return settings.replace(select="best", monitor=self.monitor or settings.monitor)

    @property
    def ignored_epochs(self) -> int:
        return self.start.of(self.context.epochs) if self.restore_best else 0

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Raises ValueError if the monitored metric is not measured."""
        name = self._watched.metric
        if name not in metrics:
            raise ValueError(f"early_stop.monitor.metric (={name}) must be one of {', '.join(metrics)}.")
        if epoch <= self.start.of(self.context.epochs):
            return np.zeros(len(metrics[name]), dtype=bool)
        patience = max(self.patience.of(self.context.epochs), 1)
        value = metrics[name] * self._sign
        better = value < self._best - self.min_delta  # false for NaN
        going = self._waited < patience
        self._best = np.where(better & going, value, self._best)
        self._waited = np.where(better & going, 0, self._waited + 1)
        if self.goal is not None:
            # a seed that has stopped must not start again
            self._waited = np.where(going & (value <= self._sign * self.goal), patience, self._waited)
        return self._waited >= patience

    def state(self) -> dict[str, Any]:
        return {"best": self._best.tolist(), "waited": self._waited.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._best = np.array(state["best"], dtype=np.float64)
        self._waited = np.array(state["waited"], dtype=np.int64)
