"""Weight decay, in any optimizer."""

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
        "Sets the weight decay of the optimizer.",
        source="Krogh and Hertz 1991, A Simple Weight Decay Can Improve Generalization",
        helps="For networks that overfit: the training loss increases, the validation loss decreases.",
        costs="One more hyperparameter, which depends on the learning rate.",
        interacts="L2 penalty for sgd and adam, decoupled for adamw. Not meaningful for weights before batch norm.",
    ),
)
class WeightDecay(Trick):
    """Sets the optimizer's ``weight_decay`` to ``rate``."""

    stacked = True
    shorthand = "rate"
    examples = ({}, {"rate": {"linear": [0, 0.1]}, "biases_and_norms": False})

    rate: Decay = Field(default=1e-4, description="weight decay coefficient")
    biases_and_norms: bool = Field(
        default=True, description="include biases and the parameters of norms, as torch does"
    )

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if the optimizer has no weight decay, or has groups that excluding biases would split;
        `NoEffect` if nothing changes.
        """
        optimizer = settings.optimizer.options
        if not isinstance(optimizer, Optimizer) or "weight_decay" not in type(optimizer).model_fields:
            able = ", ".join(e.name for e in entries("optimizer") if "weight_decay" in e.settings.model_fields)
            raise ValueError(
                "trick (=weight_decay) cannot change the weight decay of optimizer "
                f"(={settings.optimizer.label}). Use one of {able}, or set it there."
            )
        groups = optimizer.groups
        if not self.biases_and_norms and (rule := Group(match="1d", weight_decay=0.0)) not in groups:
            if groups:
                raise ValueError(
                    "weight_decay.biases_and_norms (=False) cannot be combined with optimizer.groups. Set "
                    "weight_decay: 0 in these groups."
                )
            groups = (rule,)
        changed = optimizer.model_copy(update={"weight_decay": self.rate, "groups": groups})
        if changed == optimizer:
            raise NoEffect(f"weight_decay has no effect: optimizer.weight_decay is already {self.dump()['rate']}.")
        return settings.replace(optimizer=replace(settings.optimizer, options=changed))
