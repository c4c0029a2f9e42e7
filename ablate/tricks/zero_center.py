"""Shift inputs to mean 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ablate.registry import Card, register
from ablate.tricks.shared.measurements import check_measurements
from ablate.tricks.standardise import Per, as_floats, check_in_memory, moments, with_inputs
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from ablate.data.dataset import Parts, Spec


@register(
    "trick",
    "zero_center",
    card=Card(
        "Shifts inputs to mean 0 and keeps their scale.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.3",
        helps="For inputs with a common unit, such as pixels, which need no scaling.",
        costs="Images stored as bytes become floats: four times the memory.",
        interacts="standardise includes this: use one of the two.",
    ),
)
class ZeroCenter(Trick):
    """input − mean for all splits, with the mean of the *training* set."""

    stacked = True
    shorthand = "per"
    order = 19
    examples = ({}, {"per": "channel"})

    per: Per = Field(
        default="feature",
        description="pixel: a separate mean for each input value; channel: per channel; all: one mean",
    )

    def check(self, spec: Spec) -> None:
        check_measurements("zero_center", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if data are streamed or inputs are tokens."""
        check_in_memory("zero_center", data)
        mean, _ = moments(as_floats(data.train.inputs, "zero_center"), self.per)
        return with_inputs(data, lambda inputs: as_floats(inputs, "zero_center") - mean)
