"""Inputs with mean 0."""

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
        "Shifts inputs to mean 0, leaving their scale.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.3",
        helps="Inputs of one unit, such as pixels, which need no scaling.",
        costs="Pictures kept as bytes become floats: four times the memory.",
        interacts="standardise does this and more: take one of the two.",
    ),
)
class ZeroCenter(Trick):
    """input − mean with the *training* part's mean, for the valid and test parts too."""

    stacked = True
    shorthand = "per"
    order = 19

    per: Per = Field(
        default="feature",
        description="one mean for each input number (each pixel), for each channel, or for all together",
    )

    def check(self, spec: Spec) -> None:
        check_measurements("zero_center", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where data are streamed or hold no measurements."""
        check_in_memory("zero_center", data)
        mean, _ = moments(as_floats(data.train.inputs, "zero_center"), self.per)
        return with_inputs(data, lambda inputs: as_floats(inputs, "zero_center") - mean)
