"""Stop a seed when it no longer gets better, and report its best epoch."""

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
        "Stops when the validation no longer improves; restores the best weights.",
        source="Prechelt 1998, Early Stopping - But When?",
        helps="Networks that overfit, and hours of training that bring nothing.",
        costs="The best of many noisy epochs looks better than it is: keep a test part.",
        interacts="A schedule over all epochs is cut off where a seed stops; patience must outlast its plateaus.",
    ),
)
class EarlyStop(Trick):
    """A seed stops after ``patience`` epochs in a row without a value better than its best by more than ``min_delta``.

    What is watched is the settings' ``monitor``, or one of its own. Each seed of a stack stops by itself.
    Rows report the best epoch by what is watched, also when the epochs end before patience does; without ``restore_best``, what the settings say.
    Nothing counts in the first ``start`` epochs. A seed that is as good as ``goal`` stops at once.
    With a ``baseline``, only values better than it count: a seed that does not get there within ``patience`` epochs stops.
    """

    stacked = True
    shorthand = "patience"

    patience: Epochs = Field(
        default=Epochs(share=0.1), description="epochs without improvement before it stops; at least 1"
    )
    min_delta: Annotated[float, Range(ge=0)] = Field(
        default=0.0, description="what counts as an improvement, in the metric's unit"
    )
    baseline: float | None = Field(
        default=None, description="a value of the metric that has to be beaten within the first epochs of patience"
    )
    start: Epochs = Field(default=Epochs(count=0), description="epochs that are not watched, before patience begins")
    goal: float | None = Field(
        default=None, description="a value of the metric with which a seed stops at once, as it is good enough"
    )
    restore_best: bool = Field(default=True, description="the row reports the best epoch and its weights")
    monitor: Monitor | None = Field(
        default=None,
        description="the metric to watch and whether lower or higher is better; none: the settings' monitor",
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

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Raises ValueError where the monitored metric is not measured."""
        name = self._watched.metric
        if name not in metrics:
            raise ValueError(f"early_stop watches monitor.metric (={name}), which must be one of {', '.join(metrics)}.")
        if epoch <= self.start.of(self.context.epochs):
            return np.zeros(len(metrics[name]), dtype=bool)
        patience = max(self.patience.of(self.context.epochs), 1)
        value = metrics[name] * self._sign
        better = value < self._best - self.min_delta  # false for NaN
        going = self._waited < patience
        self._best = np.where(better & going, value, self._best)
        self._waited = np.where(better & going, 0, self._waited + 1)
        if self.goal is not None:
            # a seed that has stopped has to stay so
            self._waited = np.where(going & (value <= self._sign * self.goal), patience, self._waited)
        return self._waited >= patience

    def state(self) -> dict[str, Any]:
        return {"best": self._best.tolist(), "waited": self._waited.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._best = np.array(state["best"], dtype=np.float64)
        self._waited = np.array(state["waited"], dtype=np.int64)
