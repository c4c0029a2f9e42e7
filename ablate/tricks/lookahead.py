"""Lookahead: slow weights that follow the optimizer's weights every few steps."""

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
        "Interpolates between slow weights and the optimizer's weights every few steps.",
        source="Zhang et al. 2019, Lookahead Optimizer: k steps forward, 1 step back, algorithm 1",
        helps="For optimizers that oscillate: less sensitive to the learning rate and its decay.",
        costs="One copy of the weights; slower progress if the optimizer does not oscillate.",
        interacts=(
            "The optimizer's momentum is kept at each synchronization. Progress per step is smaller, so larger "
            "learning rates are possible."
        ),
    ),
    version=2,
)
class Lookahead(Averaged):
    """After every ``steps`` steps of the optimizer: slow ← slow + ``alpha``·(fast − slow); fast ← slow.

    The slow weights start as the initial weights. Validation and the reported weights use them.
    """

    shorthand = "alpha"
    examples = ({"steps": 2}, {"steps": 1, "alpha": {"linear": [0.1, 0.5]}})

    steps: Annotated[int, Range(ge=1)] = Field(
        default=5, description="number of optimizer steps between synchronizations (k)"
    )
    alpha: Annotated[Scheduled[float], Range(gt=0, le=1)] = Field(
        default=0.5, description="interpolation factor: the fraction of the way to the optimizer's weights"
    )
    norms: Norms = Field(
        default="live",
        description=(
            "batch norm statistics for the slow weights. live: those of the training network, a few steps older; "
            "recompute: recomputed after every epoch"
        ),
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
