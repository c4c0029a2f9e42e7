"""Inputs with mean 0 and standard deviation 1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Part, Parts

Per = Literal["feature", "channel", "all"]


@register(
    "trick",
    "standardise",
    card=Card(
        "Shifts and scales inputs to mean 0 and deviation 1.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.3",
        helps="Tables whose columns have unlike units; any input far from 0.",
        costs="Pictures kept as bytes become floats: four times the memory.",
        interacts="Before any augmentation: vacated or erased pixels of 0 are then the mean.",
    ),
)
class Standardise(Trick):
    """(input − mean)/deviation with the *training* part's numbers, for the valid and test parts too. What is constant in training is divided by 1."""

    stacked = True
    shorthand = "per"
    order = 20

    per: Per = Field(
        default="feature",
        description="one mean and deviation for each input number (each pixel), for each channel, or for all together",
    )

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where data are streamed or hold no measurements."""
        parts = {"train": data.train, "valid": data.valid} | ({} if data.test is None else {"test": data.test})
        for name, part in parts.items():
            if part.inputs is None:
                raise ValueError(
                    f"trick (=standardise) needs data in memory; the {name} part (={type(part.dataset).__name__}) is streamed. Standardise in its __getitem__."
                )
        train = as_floats(data.train.inputs)
        mean, deviation = moments(train, self.per)

        def done(part: Part) -> Part:
            return replace(part, inputs=(as_floats(part.inputs) - mean) / deviation)

        return replace(
            data, train=done(data.train), valid=done(data.valid), test=None if data.test is None else done(data.test)
        )


def as_floats(inputs: Tensor | None) -> Tensor:
    """Bytes as float32 in [0, 1], floats as they are. Raises ValueError for anything else."""
    assert inputs is not None
    if inputs.dtype == torch.uint8:
        return inputs.float() / 255
    if not inputs.is_floating_point():
        raise ValueError(
            f"trick (=standardise) needs inputs that are measurements; they are {inputs.dtype}. Drop it for tokens and class numbers."
        )
    return inputs


def moments(inputs: Tensor, per: Per) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (of the population, 1 where all values are equal) of (n, C, …), in shapes that broadcast."""
    axes = {"feature": [0], "channel": [0, *range(2, inputs.dim())], "all": list(range(inputs.dim()))}[per]
    variance, mean = torch.var_mean(inputs, dim=axes, correction=0, keepdim=True)
    constant = inputs.amax(dim=axes, keepdim=True) == inputs.amin(dim=axes, keepdim=True)
    # rounding leaves a constant a deviation of about 1e-9, and dividing by that would make noise of it
    return mean, torch.where(constant, 1.0, variance.sqrt())
