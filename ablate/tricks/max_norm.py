"""Limit the norm of the weights of each unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.replicas import lead, weights
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor


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
