"""Reduce the learning rate when training stops improving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from ablate.recipe.settings import Monitor
from ablate.registry import Card, register
from ablate.registry.fields import Epochs, Range
from ablate.registry.lazy import torch
from ablate.tricks.trick import Context, Trick

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim.lr_scheduler import ReduceLROnPlateau


@register(
    "trick",
    "plateau",
    card=Card(
        "Reduces the learning rate when the validation loss stops improving.",
        source="torch.optim.lr_scheduler.ReduceLROnPlateau",
        helps="When it is not known in advance when to reduce the learning rate.",
        costs="Waits 'patience' epochs at every plateau; a noisy validation loss triggers reductions by chance.",
        interacts=(
            "Multiplies the learning rate of the settings or schedule. early_stop needs a longer patience than plateau."
        ),
    ),
    version=2,
)
class Plateau(Trick):
    """Multiplies the learning rate by ``factor`` after more than ``patience`` consecutive epochs without improvement.

    Each seed has its own learning rate.

    Improvement, patience and cooldown are those of torch's ReduceLROnPlateau (without its eps): an improvement is
    larger than ``threshold``, relative to the best value (``rel``) or in its unit (``abs``).
    """

    stacked = True
    shorthand = "factor"
    examples = (
        {"patience": 0, "threshold": 0.99},
        {"factor": 0.5, "patience": 0, "threshold": 9, "threshold_mode": "abs", "monitor": {"metric": "train_loss"}},
    )
    example_needs = "epochs"

    factor: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.1, description="factor of the learning rate at each plateau"
    )
    patience: Epochs = Field(default=Epochs(count=10), description="number of epochs without improvement to tolerate")
    threshold: Annotated[float, Range(ge=0)] = Field(
        default=1e-4, description="minimum improvement: a fraction of the best value, or in its unit"
    )
    threshold_mode: Literal["rel", "abs"] = Field(
        default="rel", description="rel: threshold is a fraction of the best value; abs: it is in the metric's unit"
    )
    cooldown: Epochs = Field(default=Epochs(count=0), description="number of epochs to ignore after a reduction")
    min_lr: Annotated[float, Range(ge=0)] = Field(default=0.0, description="lower bound of the learning rate")
    monitor: Monitor | None = Field(
        default=None,
        description="metric to monitor and whether lower or higher is better; null: the monitor of the settings",
    )

    _watchers: list[ReduceLROnPlateau] = PrivateAttr(default_factory=list)
    _factors: float | Tensor = PrivateAttr(default=1.0)

    def bind(self, context: Context) -> None:
        super().bind(context)
        self._watchers = [self._watcher() for _ in context.seeds]
        self._factors = 1.0

    @property
    def _watched(self) -> Monitor:
        return self.monitor or Monitor(metric=self.context.monitor, better=self.context.better)

    def _watcher(self) -> ReduceLROnPlateau:
        """torch's scheduler for one seed, over an empty optimizer whose learning rate is the factor."""
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            torch.optim.SGD([torch.zeros(())], lr=1.0),
            mode="min" if self._watched.better == "lower" else "max",
            factor=self.factor,
            patience=self.patience.of(self.context.epochs),
            threshold=self.threshold,
            threshold_mode=self.threshold_mode,
            cooldown=self.cooldown.of(self.context.epochs),
            eps=0.0,
        )

    def on_rate(self, rate: float | Tensor) -> float | Tensor:
        lowered = rate * self._factors
        if isinstance(lowered, torch.Tensor):
            bounded = lowered.clamp(min=self.min_lr)
            return torch.minimum(bounded, rate) if isinstance(rate, torch.Tensor) else bounded.clamp(max=rate)
        # a smaller learning rate is not raised
        return min(max(lowered, self.min_lr), rate)

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> None:
        """Raises ValueError if the monitored metric is not measured."""
        name = self._watched.metric
        if name not in metrics:
            raise ValueError(f"plateau.monitor.metric (={name}) must be one of {', '.join(metrics)}.")
        for watcher, value in zip(self._watchers, metrics[name], strict=True):
            watcher.step(float(value))
        self._take_factors()

    def _take_factors(self) -> None:
        factors = [float(watcher.optimizer.param_groups[0]["lr"]) for watcher in self._watchers]
        # one number for all seeds is exact in every precision, and faster
        same = len(set(factors)) == 1
        self._factors = factors[0] if same else torch.tensor(factors, dtype=torch.float64, device=self.context.device)

    def state(self) -> dict[str, Any]:
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        return {
            "watchers": [{name: getattr(watcher, name) for name in names} for watcher in self._watchers],
            "factors": [float(watcher.optimizer.param_groups[0]["lr"]) for watcher in self._watchers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for watcher, saved, factor in zip(self._watchers, state["watchers"], state["factors"], strict=True):
            watcher.load_state_dict(saved)
            watcher.optimizer.param_groups[0]["lr"] = factor
        self._take_factors()
