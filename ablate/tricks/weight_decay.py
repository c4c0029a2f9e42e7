"""Weight decay, in whichever optimizer the settings have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from ablate.optimizers.optimizer import Decay, Group, Optimizer
from ablate.registry import Card, entries, register
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from ablate.recipe.settings import Settings


@register(
    "trick",
    "weight_decay",
    card=Card(
        "Pulls weights towards zero at every step, through the optimizer.",
        source="Krogh and Hertz 1991, A Simple Weight Decay Can Improve Generalization",
        helps="Networks that overfit: the train loss rises, the valid loss falls.",
        costs="One more number to tune, which depends on the learning rate.",
        interacts="L2 in the gradient for sgd and adam; decoupled for adamw. Of little meaning for weights before batch norm.",
    ),
)
class WeightDecay(Trick):
    """Sets the optimizer's ``weight_decay`` to ``rate``: the gradient gets rate · weight."""

    stacked = True
    shorthand = "rate"

    rate: Decay = Field(default=1e-4, description="times the weight, added to its gradient")
    biases_and_norms: bool = Field(default=True, description="decay biases and the weights of norms too, as torch does")

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError where the optimizer has no decay, or has groups that excluding biases would have to cut up; `NoEffect` where all is so already."""
        optimizer = settings.optimizer.options
        if not isinstance(optimizer, Optimizer) or "weight_decay" not in type(optimizer).model_fields:
            able = ", ".join(e.name for e in entries("optimizer") if "weight_decay" in e.settings.model_fields)
            raise ValueError(
                f"trick (=weight_decay) cannot set the decay of optimizer (={settings.optimizer.label}). Use one of {able}, or set it there."
            )
        groups = optimizer.groups
        if not self.biases_and_norms and (rule := Group(match="1d", weight_decay=0.0)) not in groups:
            if groups:
                raise ValueError(
                    "weight_decay.biases_and_norms (=False) cannot be combined with optimizer.groups. Write weight_decay: 0 into these groups."
                )
            groups = (rule,)
        changed = optimizer.model_copy(update={"weight_decay": self.rate, "groups": groups})
        if changed == optimizer:
            raise NoEffect(f"weight_decay changes nothing: the optimizer's is {self.dump()['rate']} already.")
        return settings.replace(optimizer=replace(settings.optimizer, options=changed))
