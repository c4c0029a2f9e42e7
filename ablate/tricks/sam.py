"""Sharpness-aware minimisation: gradients from where the loss nearby is highest."""

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
        "Steps by the gradient at the worst point nearby: flat minima.",
        source="Foret et al. 2021, Sharpness-Aware Minimization, algorithm 1; adaptive: Kwon et al. 2021, ASAM",
        helps="Networks that overfit, noisy labels: flatter minima generalise better.",
        costs="Two passes a step: twice the time.",
        interacts="Both passes have the same batch, dropout masks and augmentation; batch norm's statistics come from the first. Clipping and penalties "
        "act on the second pass's gradients; the train loss is the first's.",
    ),
)
class Sam(Trick):
    """g at w + ``rho``·g/‖g‖ in place of g at w; the norm is over all weights of one network. Then the optimizer steps from w.

    ``adaptive``: w + ``rho``·w²g/‖wg‖, which does not depend on the scale of the weights; rho is then usually ten times as large.
    """

    stacked = True
    shorthand = "rho"
    order = 60

    rho: Annotated[Scheduled[float], Range(gt=0)] = Field(
        default=0.05, description="how far away, in the weights' unit, the worst point is looked for"
    )
    adaptive: bool = Field(default=False, description="measure the distance relative to each weight's size (ASAM)")

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
