"""Gradient clipping, by the global norm or by value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.schedules import Scheduled
from ablate.tricks.shared.replicas import gradients, norm, spread
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

Limit = Annotated[Scheduled[float], Range(gt=0)]


@register(
    "trick",
    "clip_norm",
    card=Card(
        "Clips the global gradient norm.",
        source=(
            "Pascanu et al. 2013, On the difficulty of training recurrent neural networks; "
            "torch.nn.utils.clip_grad_norm_"
        ),
        helps=(
            "For recurrent networks, large learning rates and the first steps: no single batch can destabilize "
            "training."
        ),
        costs="A pass over all gradients at every step; a limit that is always exceeded fixes the size of the steps.",
        interacts=(
            "Applied after all other gradient changes, including penalties. Has little effect with adam, which "
            "normalizes gradients."
        ),
    ),
)
class ClipNorm(Trick):
    """Multiplies gradients by ``limit``/(norm + 1e-6) if their norm, over all weights of a network, exceeds ``limit``.

    In a stack, each seed has its own norm.
    """

    stacked = True
    shorthand = "limit"
    order = 91
    examples = ({"limit": 0.1}, {"limit": {"linear": [0.2, 0.1]}})

    limit: Limit = Field(default=1.0, description="maximum norm")

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        grads = gradients(parameters)
        if not grads:
            return
        factor = (self.now.limit / (norm(grads, self.context) + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(spread(factor, grad))


@register(
    "trick",
    "clip_value",
    card=Card(
        "Clips each gradient element to a maximum absolute value.",
        source="Mikolov 2012, Statistical Language Models Based on Neural Networks; torch.nn.utils.clip_grad_value_",
        helps="When single weights have exploding gradients.",
        costs="Changes the direction of the gradient; clip_norm does not.",
        interacts="Applied after penalties, before clip_norm. Has little effect with adam, which normalizes gradients.",
    ),
)
class ClipValue(Trick):
    """Clips each element of the gradients to −``limit`` … ``limit``."""

    stacked = True
    shorthand = "limit"
    order = 90
    examples = ({"limit": 0.01}, {"limit": {"linear": [0.02, 0.01]}})

    limit: Limit = Field(default=0.5, description="maximum absolute value")

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        for grad in gradients(parameters):
            grad.clamp_(-self.now.limit, self.now.limit)
