"""Gradient accumulation: the gradients of several batches make one optimizer step."""

from __future__ import annotations

from pydantic import Field

from ablate.registry import Card, register
from ablate.tricks.trick import Trick


@register(
    "trick",
    "accumulate",
    card=Card(
        "Accumulates gradients over several batches per optimizer step.",
        source="torch.optim (gradients accumulate until zero_grad); Goyal et al. 2017, Accurate, Large Minibatch SGD",
        helps="When a large batch does not fit in memory.",
        costs="Fewer optimizer steps per epoch; small batches use the device less efficiently than one large batch.",
        interacts=(
            "Equivalent to batch_size · batches, except for operations that use the whole batch, such as batch norm, "
            "mixup and flip."
        ),
    ),
)
class Accumulate(Trick):
    """The gradient of ``batches`` batches is that of one large batch. The last group of an epoch may have fewer
    batches.

    Steps, including schedules with ``per: step``, are steps of the optimizer. Each batch is weighted by what its loss
    is divided by: the number of samples or of known targets, or the sum of class weights.
    """

    stacked = True
    shorthand = "batches"
    examples = ({"batches": 2}, {"batches": 3})

    batches: int = Field(default=4, ge=2, description="number of batches (of batch_size samples) per optimizer step")

    def batches_per_step(self) -> int:
        return self.batches
