"""Lookahead: slow weights that follow the fast ones every few steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.averaged import Averaged, Norms

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "trick",
    "lookahead",
    card=Card(
        "Every few steps, goes part of the way that the optimizer went.",
        source="Zhang et al. 2019, Lookahead Optimizer: k steps forward, 1 step back, algorithm 1",
        helps="Optimizers that oscillate: less sensitive to the rate and to its decay.",
        costs="One more number of memory per weight; slower where the optimizer's way was straight.",
        interacts="The optimizer's momentum is kept at each synchronisation. A step of lookahead is shorter: rates may be larger.",
    ),
    version=2,
)
class Lookahead(Averaged):
    """After every ``steps`` steps of the optimizer: slow ← slow + ``alpha``·(fast − slow); fast ← slow. Slow weights begin as the initial ones.

    Validation, the best and the last weights are the slow ones.
    """

    shorthand = "alpha"

    steps: Annotated[int, Range(ge=1)] = Field(
        default=5, description="steps of the optimizer between synchronisations (k)"
    )
    alpha: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.5, description="share of the optimizer's way that the slow weights go"
    )
    norms: Norms = Field(
        default="live",
        description="batch norm's statistics for the slow weights: the live network's, which are a few steps off, or measured anew",
    )

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: TorchOptimizer) -> None:
        if epoch == 0:
            self._average = {name: tensor.clone() for name, tensor in weights.items()}

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        if self._step == 0:
            self._average = {name: self._average[name] for name in parameters}
            self._count = 1
        self._step += 1
        if self._step % self.steps:
            return
        with torch.no_grad():
            fast, slow = list(parameters.values()), list(self._average.values())
            torch._foreach_lerp_(slow, fast, self.now.alpha)
            torch._foreach_copy_(fast, slow)
