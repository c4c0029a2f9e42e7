"""Averages of the weights over training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.notes.note import Note
from ablate.optimizers.optimizer import Rate
from ablate.registry import Card, register
from ablate.registry.fields import Epochs, Range
from ablate.registry.lazy import torch
from ablate.schedules import Schedule, Scheduled
from ablate.tricks.shared.averaged import Averaged, Norms
from ablate.tricks.trick import NoEffect

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer

    from ablate.recipe.settings import Settings
    from ablate.tricks.trick import Context


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

    def keeps_since(self, epochs: float) -> None:
        return None

    def notes(self) -> Sequence[Note]:
        """A note if the initial weights are still a large fraction of the average after the last epoch."""
        if isinstance(self.decay, Schedule) or self.warmup:
            return ()
        steps = round((self.context.epochs - self.start.of(self.context.epochs)) * self.context.steps_per_epoch)
        left = self.decay ** max(steps // self.every - 1, 0)
        if left <= MUCH:
            return ()
        return (Note("initial_average", values={"steps": steps, "share": left, "decay": self.decay}),)

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._step += 1
        if self._step <= self.start.of(self.context.epochs) * self.context.steps_per_epoch or self._step % self.every:
            return
        decay = min(self.now.decay, (1 + self._count) / (10 + self._count)) if self.warmup else self.now.decay
        self.include(parameters, torch.optim.swa_utils.get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


@register(
    "trick",
    "swa",
    card=Card(
        "Stochastic weight averaging: evaluates the mean of the last epochs' weights.",
        source=(
            "Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization; "
            "torch.optim.swa_utils"
        ),
        helps="When training ends with a constant learning rate, so the weights oscillate around a minimum.",
        costs=(
            "One copy of the weights; with batch norm, also a forward pass over the training set in each epoch (see "
            "norms)."
        ),
        interacts=(
            "Requires a learning rate that does not decay to zero (set lr). early_stop may stop before averaging "
            "begins."
        ),
    ),
    version=2,
)
class Swa(Averaged):
    """a ← a + (w − a)/(n + 1) after each epoch (or step) from ``start`` on.

    Validation and the reported weights use the mean.

    With ``lr``, the learning rate changes from that of the settings to ``lr``, immediately or over ``anneal`` epochs
    along a cosine, as in torch's SWALR.
    """

    shorthand = "start"
    examples = ({"start": 1}, {"start": 0, "every": "step", "lr": 0.01, "anneal": 1})
    example_needs = "epochs"

    start: Epochs = Field(default=Epochs(share=0.75), description="number of epochs before averaging begins")
    every: Literal["epoch", "step"] = Field(
        default="epoch", description="average the weights after each epoch or after each step"
    )
    lr: Rate | None = Field(default=None, description="learning rate during averaging; null: that of the settings")
    anneal: Epochs = Field(
        default=Epochs(count=0), description="number of epochs from the settings' learning rate to lr"
    )

    def keeps_since(self, epochs: float) -> int:
        return self.start.of(epochs)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises `NoEffect` if no epoch is left to average."""
        if settings.steps is None:
            self._check_start(settings.epochs)
        return super().on_settings(settings)

    def bind(self, context: Context) -> None:
        """Raises `NoEffect` if no epoch is left to average."""
        super().bind(context)
        self._check_start(context.epochs)

    def _check_start(self, epochs: float) -> None:
        start = self.start.of(epochs)
        if start >= (math.floor(epochs) if self.every == "epoch" else epochs):
            raise NoEffect(f"swa.start (={start}) must be less than epochs (={epochs:g}).")

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
        self.include(parameters, torch.optim.swa_utils.get_swa_multi_avg_fn())  # type: ignore[no-untyped-call]


@register(
    "trick",
    "lookahead",
    card=Card(
        "Interpolates between slow weights and the optimizer's weights every few steps.",
        source="Zhang et al. 2019, Lookahead Optimizer: k steps forward, 1 step back, algorithm 1",
        helps="For optimizers that oscillate: less sensitive to the learning rate and its decay.",
        costs="One copy of the weights; slower progress if the optimizer does not oscillate.",
        interacts=(
            "The optimizer's momentum is kept at each synchronization. Progress per step is smaller, so larger "
            "learning rates are possible."
        ),
    ),
    version=2,
)
class Lookahead(Averaged):
    """After every ``steps`` steps of the optimizer: slow ← slow + ``alpha``·(fast − slow); fast ← slow.

    The slow weights start as the initial weights. Validation and the reported weights use them.
    """

    shorthand = "alpha"
    examples = ({"steps": 2}, {"steps": 1, "alpha": {"linear": [0.1, 0.5]}})

    steps: Annotated[int, Range(ge=1)] = Field(
        default=5, description="number of optimizer steps between synchronizations (k)"
    )
    alpha: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.5, description="interpolation factor: the fraction of the way to the optimizer's weights"
    )
    norms: Norms = Field(
        default="live",
        description=(
            "batch norm statistics for the slow weights. live: those of the training network, a few steps older; "
            "recompute: recomputed after every epoch"
        ),
    )

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: TorchOptimizer) -> None:
        if epoch == 0:
            self._average = {name: tensor.clone() for name, tensor in weights.items()}

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        if self._step == 0:
            self._average = {name: self._average[name] for name in parameters}
            self._count = 1
        self._step += 1
        if self._step % self.steps:
            return
        with torch.no_grad():
            fast, slow = list(parameters.values()), list(self._average.values())
            torch._foreach_lerp_(slow, fast, self.now.alpha)
            torch._foreach_copy_(fast, slow)
