"""Inputs with mean 0 and standard deviation 1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.shared.measurements import check_measurements
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ablate.data.dataset import Parts, Spec

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

    def check(self, spec: Spec) -> None:
        check_measurements("standardise", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where data are streamed or hold no measurements."""
        check_in_memory("standardise", data)
        train = as_floats(data.train.inputs)
        mean, deviation = moments(train, self.per)

        return with_inputs(data, lambda inputs: (as_floats(inputs) - mean) / deviation)


def check_in_memory(trick: str, data: Parts) -> None:
    """Raise ValueError in one line where a part of the data is streamed."""
    for name, part in {"train": data.train, "valid": data.valid, "test": data.test}.items():
        if part is not None and part.inputs is None:
            raise ValueError(
                f"trick (={trick}) needs data in memory; the {name} part (={type(part.dataset).__name__}) is streamed. Do it in its __getitem__."
            )


def with_inputs(data: Parts, change: Callable[[Tensor | None], Tensor]) -> Parts:
    """All parts with changed inputs."""
    train, valid = (replace(part, inputs=change(part.inputs)) for part in (data.train, data.valid))
    test = None if data.test is None else replace(data.test, inputs=change(data.test.inputs))
    return replace(data, train=train, valid=valid, test=test)


def as_floats(inputs: Tensor | None, trick: str = "standardise") -> Tensor:
    """Bytes as float32 in [0, 1], floats as they are. Raises ValueError for anything else."""
    assert inputs is not None
    if inputs.dtype == torch.uint8:
        return inputs.float() / 255
    if not inputs.is_floating_point():
        raise ValueError(
            f"trick (={trick}) needs inputs that are measurements; they are {inputs.dtype}. Drop it for tokens and class numbers."
        )
    return inputs


def moments(inputs: Tensor, per: Per) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (of the population, 1 where all values are equal) of (n, C, …), in shapes that broadcast."""
    axes = {"feature": [0], "channel": [0, *range(2, inputs.dim())], "all": list(range(inputs.dim()))}[per]
    variance, mean = torch.var_mean(inputs, dim=axes, correction=0, keepdim=True)
    constant = inputs.amax(dim=axes, keepdim=True) == inputs.amin(dim=axes, keepdim=True)
    # rounding leaves a constant a deviation of about 1e-9, and dividing by that would make noise of it
    return mean, torch.where(constant, 1.0, variance.sqrt())
