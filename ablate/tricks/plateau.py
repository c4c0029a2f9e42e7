"""A smaller rate when the training no longer gets better."""

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
        "Lowers the rate when the validation loss stops falling.",
        source="torch.optim.lr_scheduler.ReduceLROnPlateau",
        helps="Nobody has to say beforehand when the rate should fall.",
        costs="Patience is spent at every plateau; a noisy validation loss lowers the rate by chance.",
        interacts="It multiplies what the settings or a schedule say. Early stopping needs more patience than this, or it comes first.",
    ),
    version=2,
)
class Plateau(Trick):
    """After more than ``patience`` epochs in a row without an improvement, the rate is multiplied by ``factor``; each seed has its own.

    What is an improvement, patience and cooldown are torch's (without its eps): better than the best by more than ``threshold``, a share of it (``rel``) or
    in its unit (``abs``).
    """

    stacked = True
    shorthand = "factor"

    factor: Annotated[float, Range(gt=0, lt=1)] = Field(default=0.1, description="times the rate, at each plateau")
    patience: Epochs = Field(default=Epochs(count=10), description="epochs without improvement that are put up with")
    threshold: Annotated[float, Range(ge=0)] = Field(
        default=1e-4, description="what counts as an improvement: a share of the best value, or in its unit"
    )
    threshold_mode: Literal["rel", "abs"] = Field(
        default="rel", description="rel: a share of the best; abs: in its unit"
    )
    cooldown: Epochs = Field(default=Epochs(count=0), description="epochs after a fall that are not counted")
    min_lr: Annotated[float, Range(ge=0)] = Field(default=0.0, description="no fall goes below this rate")
    monitor: Monitor | None = Field(
        default=None,
        description="the metric to watch and whether lower or higher is better; none: the settings' monitor",
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
        """torch's scheduler of one seed, over an optimizer of nothing whose rate is the factor."""
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
        # a rate that is smaller already is not raised
        return min(max(lowered, self.min_lr), rate)

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> None:
        """Raises ValueError where the monitored metric is not measured."""
        name = self._watched.metric
        if name not in metrics:
            raise ValueError(f"plateau watches monitor.metric (={name}), which must be one of {', '.join(metrics)}.")
        for watcher, value in zip(self._watchers, metrics[name], strict=True):
            watcher.step(float(value))
        self._take_factors()

    def _take_factors(self) -> None:
        factors = [float(watcher.optimizer.param_groups[0]["lr"]) for watcher in self._watchers]
        # one number for all is exact in every precision, and steps faster
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
