"""Stochastic weight averaging: the mean of the weights along the end of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.optimizers.optimizer import Rate
from ablate.registry import Card, register
from ablate.registry.fields import Epochs
from ablate.registry.lazy import torch
from ablate.tricks.shared.averaged import Averaged
from ablate.tricks.trick import NoEffect

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.recipe.settings import Settings


@register(
    "trick",
    "swa",
    card=Card(
        "Judges the network by the mean of its last epochs' weights.",
        source="Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization; torch.optim.swa_utils",
        helps="The end of a training with a rate that is held: the mean lies in the middle of the valley around which the weights wander.",
        costs="One more number of memory per weight; with batch norm a forward pass over the training part each epoch (see norms).",
        interacts="Wants a rate that stays up (lr), not one that decays to nothing; early stopping may come before it starts.",
    ),
    version=2,
)
class Swa(Averaged):
    """a ← a + (w − a)/(n + 1) after each epoch (or step) from ``start`` on. Validation, the best and the last weights are the mean's.

    With ``lr`` the rate goes from what the settings say to that one, at once or in ``anneal`` epochs along half a cosine, as torch's SWALR does.
    """

    shorthand = "start"

    start: Epochs = Field(default=Epochs(share=0.75), description="epochs before averaging begins")
    every: Literal["epoch", "step"] = Field(
        default="epoch", description="what is averaged: the weights after each epoch or step"
    )
    lr: Rate | None = Field(default=None, description="rate from then on; none: the rate stays what the settings say")
    anneal: Epochs = Field(default=Epochs(count=0), description="epochs from the settings' rate to lr")

    def keeps_since(self, epochs: int) -> int:
        return self.start.of(epochs)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises `NoEffect` where no epoch is left to average."""
        start = self.start.of(settings.epochs)
        if start >= settings.epochs:
            raise NoEffect(f"swa.start (={start}) must be less than epochs (={settings.epochs}).")
        return super().on_settings(settings)

    def on_rate(self, rate: float | Tensor) -> float | Tensor:
        since = self._step // self.context.steps_per_epoch - self.start.of(self.context.epochs)
        if self.lr is None or since < 0:
            return rate
        anneal = self.anneal.of(self.context.epochs)
        share = (1 - math.cos(math.pi * min(since / anneal, 1))) / 2 if anneal else 1.0
        held: float = self.now.lr * share
        return rate * (1 - share) + held

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._step += 1
        steps = self.context.steps_per_epoch
        if self._step <= self.start.of(self.context.epochs) * steps or (self.every == "epoch" and self._step % steps):
            return
        with torch.no_grad():
            if self._count:
                average = torch.optim.swa_utils.get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
                average(list(self._average.values()), list(parameters.values()), self._count)
            else:
                self._average = {name: weight.detach().clone() for name, weight in parameters.items()}
        self._count += 1
