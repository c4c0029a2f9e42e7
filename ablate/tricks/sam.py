"""Sharpness-aware minimization: use the gradient at the point nearby with the highest loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.replicas import norm, spread
from ablate.tricks.trick import Gradients, Trick

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "trick",
    "sam",
    card=Card(
        "Sharpness-aware minimization: uses the gradient at the worst point nearby.",
        source="Foret et al. 2021, Sharpness-Aware Minimization, algorithm 1; adaptive: Kwon et al. 2021, ASAM",
        helps="For networks that overfit and noisy labels: flatter minima generalize better.",
        costs="Two passes per step: about twice the training time.",
        interacts=(
            "Both passes use the same batch, dropout masks and augmentation. Batch norm statistics and the training "
            "loss are those of the first pass. Clipping and penalties use the gradients of the second pass."
        ),
    ),
)
class Sam(Trick):
    """Replaces the gradient g at w by the gradient at w + ``rho``·g/‖g‖, with the norm over all weights of one network.

    The optimizer then steps from w.

    ``adaptive``: w + ``rho``·w²g/‖wg‖, which does not depend on the scale of the weights; rho is then usually ten times
    as large.
    """

    stacked = True
    shorthand = "rho"
    order = 60
    examples = ({}, {"rho": {"linear": [0.1, 0.5]}, "adaptive": True})

    rho: Annotated[Scheduled[float], Range(gt=0)] = Field(
        default=0.05, description="distance to the worst point, in the weights' unit"
    )
    adaptive: bool = Field(default=False, description="measure the distance relative to the size of each weight (ASAM)")

    def on_pass(self, gradients: Gradients, parameters: Mapping[str, Tensor]) -> None:
        moved = [parameter for parameter in parameters.values() if parameter.grad is not None]
        with torch.no_grad():
            before = [parameter.detach().clone() for parameter in moved]
            ways = [parameter.grad for parameter in moved if parameter.grad is not None]
            if self.adaptive:
                ways = [weight.abs() * way for weight, way in zip(before, ways, strict=True)]
            scale = self.now.rho / (norm(ways, self.context) + 1e-12)
            if self.adaptive:
                ways = [weight.abs() * way for weight, way in zip(before, ways, strict=True)]
            for parameter, way in zip(moved, ways, strict=True):
                parameter.add_(way * spread(scale, way))
        gradients()
        with torch.no_grad():
            torch._foreach_copy_(moved, before)
