"""Penalties and bounds of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.optimizers.optimizer import Decay, Group, Optimizer
from ablate.registry import Card, entries, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.replicas import lead, weights
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor

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


@register(
    "trick",
    "l1",
    card=Card(
        "Applies an L1 penalty to the weights, which makes them sparse.",
        source="Tibshirani 1996, Regression Shrinkage and Selection via the Lasso",
        helps="When few of the inputs matter, and for networks that will be pruned.",
        costs="One more hyperparameter. Weights oscillate around 0 by about rate · lr and are never exactly 0.",
        interacts=(
            "Applied before clipping. adam divides the penalty by the gradient's size, so it mainly affects weights "
            "with small gradients."
        ),
    ),
)
class L1(Trick):
    """Adds rate·sign(w), the gradient of ``rate``·Σ|w|, to each weight's gradient.

    The training loss does not include the penalty.
    """

    stacked = True
    shorthand = "rate"
    examples = ({}, {"rate": {"linear": [0, 0.1]}, "biases_and_norms": True})

    rate: Annotated[Scheduled[float], Range(ge=0)] = Field(default=1e-5, description="coefficient of the L1 penalty")
    biases_and_norms: bool = Field(default=False, description="include biases and the parameters of norms")

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for weight in weights(parameters, self.context, biases_and_norms=self.biases_and_norms):
                if weight.grad is not None:
                    weight.grad.add_(weight.sign(), alpha=self.now.rate)


@register(
    "trick",
    "max_norm",
    card=Card(
        "Limits the norm of the incoming weights of each unit.",
        source="Srebro and Shraibman 2005, Rank, Trace-Norm and Max-Norm; Srivastava et al. 2014, Dropout, section 5.1",
        helps="For large learning rates: weights cannot explode. Often combined with dropout, with a limit of 3 to 4.",
        costs="A pass over all weights at every step.",
        interacts="Not meaningful for weights followed by batch norm, which removes their scale.",
    ),
)
class MaxNorm(Trick):
    """After every step, scales the incoming weights of a unit down to norm ``limit`` if their norm is larger.

    The incoming weights are a row of a linear layer or the kernels of one output channel. Biases and norms, which have
    one axis, are not changed. The first axis of a transposed convolution is its input: there, the *outgoing* weights of
    a channel are limited.
    """

    stacked = True
    shorthand = "limit"
    order = 80
    examples = ({"limit": 0.5}, {"limit": {"linear": [0.6, 0.5]}})

    limit: Annotated[Scheduled[float], Range(gt=0)] = Field(
        default=3.0, description="maximum norm of the incoming weights"
    )

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        units = lead(self.context)
        with torch.no_grad():
            for weight in weights(parameters, self.context):
                norm = torch.linalg.vector_norm(weight, dim=tuple(range(units + 1, weight.dim())), keepdim=True)
                weight.mul_(self.now.limit / norm.clamp(min=self.now.limit))
