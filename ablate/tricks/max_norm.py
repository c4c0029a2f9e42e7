"""Weights into a unit that are not too long."""

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
        "Caps the length of the weights into each unit.",
        source="Srebro and Shraibman 2005, Rank, Trace-Norm and Max-Norm; Srivastava et al. 2014, Dropout, section 5.1",
        helps="Large rates: weights cannot blow up. Usual beside dropout, with a limit of 3 to 4.",
        costs="A pass over all weights at every step.",
        interacts="Of no meaning for weights before batch norm, which undoes their length.",
    ),
)
class MaxNorm(Trick):
    """After every step, the weights into a unit (a row of a linear layer, one output channel's kernels) are shortened to norm ``limit`` where they are longer.

    Weights without a second axis (biases, norms) stay. A transposed convolution's first axis is its input: there the weights *out of* a channel are capped.
    """

    stacked = True
    shorthand = "limit"
    order = 80

    limit: Annotated[Scheduled[float], Range(gt=0)] = Field(default=3.0, description="largest norm into a unit")

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        units = lead(self.context)
        with torch.no_grad():
            for weight in weights(parameters, self.context):
                norm = torch.linalg.vector_norm(weight, dim=tuple(range(units + 1, weight.dim())), keepdim=True)
                weight.mul_(self.now.limit / norm.clamp(min=self.now.limit))
