"""Random numbers added to the inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.measurements import check_measurements
from ablate.tricks.shared.pictures import Share, choose
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "noise",
    card=Card(
        "Adds normal noise to the inputs of training batches.",
        source="Bishop 1995, Training with Noise is Equivalent to Tikhonov Regularization",
        helps="Small data, measurements that are noisy anyway.",
        costs="Fine detail drowns: the train loss rises.",
        interacts="Comes after mixup and cutmix, so all samples are noisy alike. The deviation is in the inputs' unit: 1 after standardise.",
    ),
)
class GaussianNoise(Trick):
    """Each number of each chosen sample gets its own draw from N(0, ``deviation``²); values are not cut to the inputs' range."""

    stacked = True
    shorthand = "deviation"
    order = 40

    deviation: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.05, description="of the noise, in the inputs' unit"
    )
    share: Share = Field(default=1.0, description="share of each batch that gets noise")

    def check(self, spec: Spec) -> None:
        check_measurements("noise", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Raises ValueError where inputs are no measurements."""
        if not batch.inputs.is_floating_point():
            raise ValueError(
                f"trick (=noise) needs inputs that are measurements; they are {batch.inputs.dtype}. Drop it for tokens."
            )
        shape = batch.inputs.shape[-len(batch.spec.input_shape) - 1 :]
        added = noise.normal(*shape).to(batch.inputs.dtype) * self.now.deviation
        chosen = choose(noise, shape[0], self.now.share)
        which = chosen.view(*chosen.shape, *(1 for _ in shape[1:]))
        return replace(batch, inputs=torch.where(which, batch.inputs + added, batch.inputs))
