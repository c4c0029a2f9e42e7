"""A rate that grows with the batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ablate.optimizers.optimizer import Optimizer
from ablate.registry import Card, register
from ablate.schedules import Schedule
from ablate.tricks.accumulate import Accumulate
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from ablate.recipe.settings import Settings


@register(
    "trick",
    "scale_lr",
    card=Card(
        "The rate grows with the batch, linearly or with its root.",
        source="Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.1; the root: Krizhevsky 2014, One weird trick, section 5",
        helps="Large batches: without it they make fewer steps of the same size and end worse.",
        costs="Beyond some batch the rate is too large; a warmup moves that point.",
        interacts="Counts the samples of a step: batch_size times accumulate's batches. The root is usual for adam, the line for sgd.",
    ),
)
class ScaleLr(Trick):
    """Multiplies all rates of the optimizer, their schedules and those of its groups by samples/``base``, or the root of that.

    ``base`` is the batch that the recipe's rate was chosen for.
    """

    stacked = True
    shorthand = "rule"
    # before tricks that set a rate of their own
    order = 10

    rule: Literal["linear", "sqrt"] = Field(default="linear", description="rate ∝ batch, or ∝ √batch")
    base: int = Field(default=64, ge=1, description="samples of a step for which the rate in the recipe is meant")

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError for an optimizer of the user's own; `NoEffect` where the batch is the base."""
        optimizer = settings.optimizer.options
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"scale_lr cannot set the rate of optimizer (={settings.optimizer.label}). Set it there.")
        groups = settings.trick("accumulate")
        together = groups.options.batches if groups is not None and isinstance(groups.options, Accumulate) else 1
        samples = settings.batch_size * together
        if samples == self.base:
            raise NoEffect(f"scale_lr changes nothing: a step has {samples} samples, which is scale_lr.base.")
        factor = samples / self.base if self.rule == "linear" else math.sqrt(samples / self.base)
        names = [name for name in type(optimizer).model_fields if name == "lr" or name.endswith("_lr")]
        changed: dict[str, Any] = {name: times(getattr(optimizer, name), factor) for name in names}
        changed["groups"] = tuple(
            group if group.lr is None else group.model_copy(update={"lr": times(group.lr, factor)})
            for group in optimizer.groups
        )
        return settings.replace(optimizer=replace(settings.optimizer, options=optimizer.model_copy(update=changed)))


def times(rate: float | Schedule, factor: float) -> float | Schedule:
    """A rate or its schedule, multiplied."""
    return rate.times(factor) if isinstance(rate, Schedule) else rate * factor
