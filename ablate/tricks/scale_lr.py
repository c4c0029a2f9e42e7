"""Scale the learning rate with the batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ablate.optimizers.several import Several
from ablate.recipe.settings import groups_of_target
from ablate.registry import Card, register
from ablate.schedules import Schedule
from ablate.tricks.accumulate import Accumulate
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from ablate.recipe.settings import Choice, Settings


@register(
    "trick",
    "scale_lr",
    card=Card(
        "Scales the learning rate with the batch size, linearly or by square root.",
        source=(
            "Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.1; square root: Krizhevsky 2014, One weird "
            "trick, section 5"
        ),
        helps="For large batches, which otherwise make fewer steps of the same size and end with a higher loss.",
        costs="Very large batches need warmup or become unstable.",
        interacts=(
            "The batch size is batch_size · accumulate.batches. Square root scaling is common for adam, linear "
            "scaling for sgd."
        ),
    ),
)
class ScaleLr(Trick):
    """Multiplies the learning rates of the optimizer and its groups, including schedules, by samples/``base`` or its
    square root.

    ``base`` is the batch size that the recipe's learning rate was chosen for.
    """

    stacked = True
    shorthand = "rule"
    # before tricks that set their own learning rate
    order = 10
    examples = ({"base": 16}, {"rule": "sqrt", "base": 256})

    rule: Literal["linear", "sqrt"] = Field(
        default="linear", description="linear: lr ∝ batch size; sqrt: lr ∝ √batch size"
    )
    base: int = Field(default=64, ge=1, description="batch size that the recipe's learning rate was chosen for")

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError for a custom optimizer without ``lr``, `NoEffect` if the batch size equals ``base``."""
        for one in settings.optimizer.all:
            if isinstance(one.options, Mapping) and "lr" not in one.options:
                rule = f"requires optimizer.lr, but optimizer (={one.label}) does not set it. Add it."
                raise ValueError(f"scale_lr {rule}")
        groups = settings.trick("accumulate")
        together = groups.options.batches if groups is not None and isinstance(groups.options, Accumulate) else 1
        samples = settings.batch_size * together
        if samples == self.base:
            raise NoEffect(f"scale_lr has no effect: the batch size per step ({samples}) equals scale_lr.base.")
        factor = samples / self.base if self.rule == "linear" else math.sqrt(samples / self.base)
        return settings.replace(optimizer=faster(settings.optimizer, factor))


def faster(choice: Choice, factor: float) -> Choice:
    """An optimizer with all learning rates multiplied: those of its groups and parts, too."""
    optimizer: Any = choice.options
    if isinstance(optimizer, Mapping):
        own = scaled(optimizer, factor)
        if groups_of_target(optimizer):
            own["groups"] = [scaled(group, factor) for group in groups_of_target(optimizer)]
        return replace(choice, options=own)
    changed: dict[str, Any]
    if isinstance(optimizer, Several):
        parts = [part.model_copy(update={"use": faster(part.use, factor)}) for part in optimizer.parts]
        changed = {"parts": tuple(parts)}
    else:
        names = [name for name in type(optimizer).model_fields if name == "lr" or name.endswith("_lr")]
        changed = {name: times(getattr(optimizer, name), factor) for name in names}
        changed["groups"] = tuple(
            group if group.lr is None else group.model_copy(update={"lr": times(group.lr, factor)})
            for group in optimizer.groups
        )
    return replace(choice, options=optimizer.model_copy(update=changed))


def scaled(values: Any, factor: float) -> dict[str, Any]:
    """The arguments of a custom optimizer, or the values of its group, with a learning rate multiplied."""
    return {name: times(value, factor) if name == "lr" else value for name, value in values.items()}


def times(rate: float | Schedule, factor: float) -> float | Schedule:
    """A learning rate or its schedule, multiplied."""
    return rate.times(factor) if isinstance(rate, Schedule) else rate * factor
