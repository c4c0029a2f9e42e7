"""Standardize inputs to mean 0 and standard deviation 1."""

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
        "Standardizes inputs to mean 0 and standard deviation 1.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.3",
        helps="For tables whose columns have different units, and for inputs far from 0.",
        costs="Images stored as bytes become floats: four times the memory.",
        interacts="Applied before augmentation, so padded or erased pixels (0) have the mean value.",
    ),
)
class Standardise(Trick):
    """(input − mean)/standard deviation for all splits, computed from the *training* set.

    Constant inputs are divided by 1.
    """

    stacked = True
    shorthand = "per"
    order = 20
    examples = ({}, {"per": "channel"})

    per: Per = Field(
        default="feature",
        description=(
            "pixel: separate statistics for each input value; channel: per channel; all: one mean and standard "
            "deviation"
        ),
    )

    def check(self, spec: Spec) -> None:
        check_measurements("standardise", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if data are streamed or inputs are tokens."""
        check_in_memory("standardise", data)
        train = as_floats(data.train.inputs)
        mean, deviation = moments(train, self.per)

        return with_inputs(data, lambda inputs: (as_floats(inputs) - mean) / deviation)


def check_in_memory(trick: str, data: Parts) -> None:
    """Raise ValueError (one line) if a split is streamed."""
    for name, part in {"train": data.train, "valid": data.valid, "test": data.test}.items():
        if part is not None and part.inputs is None:
            raise ValueError(
                f"trick (={trick}) requires data in memory, but the {name} split (={type(part.dataset).__name__}) "
                "is streamed. Transform the samples in __getitem__ instead."
            )


def with_inputs(data: Parts, change: Callable[[Tensor | None], Tensor]) -> Parts:
    """All splits with changed inputs."""
    train, valid = (replace(part, inputs=change(part.inputs)) for part in (data.train, data.valid))
    test = None if data.test is None else replace(data.test, inputs=change(data.test.inputs))
    return replace(data, train=train, valid=valid, test=test)


def as_floats(inputs: Tensor | None, trick: str = "standardise") -> Tensor:
    """Bytes as float32 in [0, 1]; floats as they are. Raises ValueError for other types."""
    assert inputs is not None
    if inputs.dtype == torch.uint8:
        return inputs.float() / 255
    if not inputs.is_floating_point():
        raise ValueError(f"trick (={trick}) requires floating-point inputs, but they are {inputs.dtype}. Remove it.")
    return inputs


def moments(inputs: Tensor, per: Per) -> tuple[Tensor, Tensor]:
    """Mean and (population) standard deviation of (n, C, …), in shapes that broadcast; 1 if all values are equal."""
    axes = {"feature": [0], "channel": [0, *range(2, inputs.dim())], "all": list(range(inputs.dim()))}[per]
    variance, mean = torch.var_mean(inputs, dim=axes, correction=0, keepdim=True)
    constant = inputs.amax(dim=axes, keepdim=True) == inputs.amin(dim=axes, keepdim=True)
    # rounding gives a constant a standard deviation of about 1e-9; dividing by it would amplify noise
    return mean, torch.where(constant, 1.0, variance.sqrt())
