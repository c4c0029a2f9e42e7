"""Gaussian noise on the inputs."""

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
        "Adds Gaussian noise to training inputs.",
        source="Bishop 1995, Training with Noise is Equivalent to Tikhonov Regularization",
        helps="For small datasets and noisy measurements.",
        costs="Fine details are lost; the training loss increases.",
        interacts=(
            "Applied after mixup and cutmix, so the noise of all samples has the same strength. The standard "
            "deviation is in the inputs' unit: 1 after standardise."
        ),
    ),
)
class GaussianNoise(Trick):
    """Adds noise from N(0, ``deviation``²) to each value of each chosen sample; the sum is not clipped."""

    stacked = True
    shorthand = "deviation"
    order = 40
    examples = ({}, {"deviation": {"linear": [0.1, 0.2]}, "share": 0.5})

    deviation: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.05, description="standard deviation of the noise, in the inputs' unit"
    )
    share: Share = Field(default=1.0, description="fraction of each batch to change")

    def check(self, spec: Spec) -> None:
        check_measurements("noise", spec)

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Raises ValueError if inputs are not floating-point."""
        if not batch.inputs.is_floating_point():
            raise ValueError(
                f"trick (=noise) requires floating-point inputs, but they are {batch.inputs.dtype}. Remove it."
            )
        shape = batch.inputs.shape[-len(batch.spec.input_shape) - 1 :]
        added = noise.normal(*shape).to(batch.inputs.dtype) * self.now.deviation
        chosen = choose(noise, shape[0], self.now.share)
        which = chosen.view(*chosen.shape, *(1 for _ in shape[1:]))
        return replace(batch, inputs=torch.where(which, batch.inputs + added, batch.inputs))
