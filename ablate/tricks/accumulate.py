"""Gradient accumulation: several small batches make one step."""

from __future__ import annotations

from pydantic import Field

from ablate.registry import Card, register
from ablate.tricks.trick import Trick


@register(
    "trick",
    "accumulate",
    card=Card(
        "Several small batches make one step, as one large batch would.",
        source="torch.optim: gradients add up until zero_grad; Goyal et al. 2017, Accurate, Large Minibatch SGD, on what a large batch changes",
        helps="Batches that do not fit the memory.",
        costs="Fewer steps an epoch; small batches use the device less well than a large one.",
        interacts="Exactly a batch of batches · batch_size, but for what looks at a batch as a whole: batch norm, mixup, flips of half a batch.",
    ),
)
class Accumulate(Trick):
    """The gradient of each step is the mean over the samples of ``batches`` batches; an epoch's last group may have fewer, and is a mean over those.

    Steps, schedules ``per: step`` and all that counts steps count the optimizer's. Where targets are missing, batches count by their known targets.
    """

    stacked = True
    shorthand = "batches"

    batches: int = Field(default=4, ge=2, description="batches of batch_size samples that make one step")

    def batches_per_step(self) -> int:
        return self.batches
