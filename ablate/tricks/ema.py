"""Exponential moving average of the weights, for evaluation."""

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
"""If the initial weights make up a larger fraction of the final average, a note is recorded."""


@register(
    "trick",
    "ema",
    card=Card(
        "Evaluates an exponential moving average of the weights.",
        source=(
            "Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; "
            "torch.optim.swa_utils.get_ema_multi_avg_fn"
        ),
        helps=(
            "When the learning rate has not decayed yet: the average is close to the result of a decay, and its "
            "curve is smooth."
        ),
        costs=(
            "One copy of the weights; with batch norm, also a forward pass over the training set in each epoch (see "
            "norms)."
        ),
        interacts=(
            "Has little effect after the learning rate has decayed. The average covers about 1/(1 - decay) steps: if "
            "training is short, decrease decay or set warmup: true."
        ),
    ),
    version=2,
)
class Ema(Averaged):
    """a ← decay·a + (1 − decay)·w after every step. The first average is a copy of the weights.

    Validation and the reported weights use the average; training continues with the current weights. With ``warmup``,
    the decay is at most (1 + n)/(10 + n) after n averages, as in TensorFlow.
    """

    shorthand = "decay"
    examples = ({}, {"decay": {"linear": [0.1, 0.5]}, "warmup": True, "every": 2, "norms": "live"})
    example_needs = "epochs"

    decay: Annotated[Scheduled[float], Range(ge=0, lt=1)] = Field(
        default=0.999, description="decay of the average: the fraction of it that each step keeps"
    )
    warmup: bool = Field(default=False, description="limit the decay to (1 + n)/(10 + n) at first")
    start: Epochs = Field(default=Epochs(count=0), description="number of epochs before averaging begins")
    every: Annotated[int, Range(ge=1)] = Field(default=1, description="number of steps from one average to the next")

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
