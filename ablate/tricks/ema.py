"""An exponential moving average of the weights, for evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.notes.note import Note
from ablate.registry import Card, register
from ablate.registry.fields import Epochs, Range
from ablate.registry.lazy import torch
from ablate.schedules import Schedule, Scheduled
from ablate.tricks.shared.averaged import Averaged

if TYPE_CHECKING:
    from torch import Tensor

MUCH = 0.05
"""The share of an average that its first weights may be in the end, before the record says so."""


@register(
    "trick",
    "ema",
    card=Card(
        "Judges the network by a moving average of its weights.",
        source="Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; torch.optim.swa_utils.get_ema_multi_avg_fn",
        helps="Rates that have not decayed yet: the average is near what a decay would reach, and its curve is smooth.",
        costs="One more number of memory per weight; with batch norm a forward pass over the training part each epoch (see norms).",
        interacts="A decaying rate leaves little to average. The average remembers 1/(1 - decay) steps: in short trainings lower the decay, or warm it up.",
    ),
    version=2,
)
class Ema(Averaged):
    """a ← decay·a + (1 − decay)·w after every step; the first average is the weights themselves.

    Validation, the best and the last weights are the average's; the live weights go on training. ``warmup`` bounds the decay by (1 + n)/(10 + n) after n
    averages, as TensorFlow does.
    """

    shorthand = "decay"

    decay: Annotated[Scheduled[float], Range(ge=0, lt=1)] = Field(
        default=0.999, description="share of the average that each step keeps"
    )
    warmup: bool = Field(default=False, description="a smaller decay at first, at most (1 + n)/(10 + n)")
    start: Epochs = Field(
        default=Epochs(count=0), description="epochs before the first average; until then, live weights"
    )
    every: Annotated[int, Range(ge=1)] = Field(default=1, description="steps from one average to the next")

    def keeps_since(self, epochs: int) -> None:
        return None

    def notes(self) -> Sequence[Note]:
        """A note if the initial weights are still a large fraction of the average after the last epoch."""
        if isinstance(self.decay, Schedule) or self.warmup:
            return ()
        steps = (self.context.epochs - self.start.of(self.context.epochs)) * self.context.steps_per_epoch
        left = self.decay ** max(steps // self.every - 1, 0)
        if left <= MUCH:
            return ()
        return (Note("initial_average", values={"steps": steps, "share": left, "decay": self.decay}),)

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._step += 1
        if self._step <= self.start.of(self.context.epochs) * self.context.steps_per_epoch or self._step % self.every:
            return
        with torch.no_grad():
            if self._count:
                decay = min(self.now.decay, (1 + self._count) / (10 + self._count)) if self.warmup else self.now.decay
                average = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
                average(list(self._average.values()), list(parameters.values()), self._count)
            else:
                self._average = {name: weight.detach().clone() for name, weight in parameters.items()}
        self._count += 1
