"""Gradients that are not too large: by their norm, or each by itself."""

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
        "Shortens the gradient of all weights together to a largest norm.",
        source="Pascanu et al. 2013, On the difficulty of training recurrent neural networks; torch.nn.utils.clip_grad_norm_",
        helps="Recurrent networks, large rates, early steps: no single batch throws the weights away.",
        costs="A pass over all gradients at every step; a limit that always binds fixes the length of the step.",
        interacts="Comes last of what changes gradients, so penalties count. Of little effect under adam, which divides by the gradient's size.",
    ),
)
class ClipNorm(Trick):
    """Gradients are multiplied by ``limit``/(norm + 1e-6) where their norm, over all weights of one network, is larger.

    In a stack each seed has its own norm.
    """

    stacked = True
    shorthand = "limit"
    order = 91

    limit: Limit = Field(default=1.0, description="largest norm")

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
        "Cuts every single gradient to a largest value.",
        source="Mikolov 2012, Statistical Language Models Based on Neural Networks; torch.nn.utils.clip_grad_value_",
        helps="Single exploding weights.",
        costs="Changes the gradient's direction, unlike clip_norm.",
        interacts="Comes before clip_norm and after penalties. Of little effect under adam, which divides by the gradient's size.",
    ),
)
class ClipValue(Trick):
    """Every gradient is cut to −``limit`` … ``limit``."""

    stacked = True
    shorthand = "limit"
    order = 90

    limit: Limit = Field(default=0.5, description="largest gradient of a weight, in either direction")

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        for grad in gradients(parameters):
            grad.clamp_(-self.now.limit, self.now.limit)
