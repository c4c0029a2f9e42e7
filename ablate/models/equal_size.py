"""Networks of equal parameters: all widths in one proportion, so that deep and thin can be compared with shallow and wide."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from pydantic import Field

from ablate.models.model import Model
from ablate.registry.lazy import torch

STEPS = 50
"""Halvings of the interval that the factor lies in: more than a float can tell apart."""

M = TypeVar("M", bound="Sized")


class Sized(Model):
    """Base of networks that can be told how many parameters to have: ``parameters: 1000000`` scales all the widths that the settings give by one factor.

    Their proportions stay, as well as whole numbers let them; depth, kernels and all else stay as they are.
    """

    parameters: int | None = Field(
        default=None, ge=1, description="scale all widths in proportion until the network has about so many parameters"
    )

    @abstractmethod
    def in_proportion(self: M, factor: float) -> M:
        """The same network with all its widths times ``factor``, at least 1 each."""

    def sized(self: M, input_shape: tuple[int, ...], outputs: int) -> M:
        """The network whose number of parameters comes nearest to ``parameters``; itself where none is asked for.

        Raises ValueError where widths of 1 have more, or no widths are there to be scaled.
        """
        if self.parameters is None:
            return self
        plain = self.model_copy(update={"parameters": None})

        def count(factor: float) -> int:
            with torch.device("meta"):
                network = plain.in_proportion(factor).build(input_shape, outputs)
            return sum(parameter.numel() for parameter in network.parameters())

        low, high = 1e-6, 1.0
        if count(low) > self.parameters:
            raise ValueError(
                f"model.parameters (={self.parameters}) must be at least {count(low)}, which it has with widths of 1. Ask for more, or for fewer layers."
            )
        while count(high) < self.parameters:
            high *= 2
            if high > 1e9:
                raise ValueError(
                    f"model.parameters (={self.parameters}) cannot be reached: the network has no widths. Drop it, or give it hidden layers."
                )
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if count(middle) < self.parameters else (low, middle)
        nearest = min((low, high), key=lambda factor: abs(count(factor) - (self.parameters or 0)))
        return plain.in_proportion(nearest)


def scaled(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Widths times a factor, rounded, at least 1."""
    return tuple(max(1, round(width * factor)) for width in widths)
