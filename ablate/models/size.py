"""How large a network is, and scaling it to a size."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from pydantic import Field

from ablate.models.model import Model
from ablate.registry.lazy import torch

BYTES = 4
"""Bytes of a parameter in float32."""


def dense_parameters(widths: Sequence[int]) -> int:
    """Parameters of linear layers with biases between layers of these widths."""
    return sum(before * after + after for before, after in pairwise(widths))


def convolution_parameters(channels: Sequence[int], kernels: Sequence[int], dimensions: int) -> int:
    """Parameters of convolutions with biases; ``channels`` starts with the image's."""
    pairs = zip(pairwise(channels), kernels, strict=True)
    return sum(before * after * kernel**dimensions + after for (before, after), kernel in pairs)


def check_memory(field: str, value: object, parameters: int) -> None:
    """Raise MemoryError (one line) if ``parameters`` in float32 exceed this machine's memory (on torch's meta device:
    2⁶³ bytes).

    Otherwise, a system that overcommits memory would kill the process while the initial weights are written.
    """
    needed = parameters * BYTES
    limit = 2**63 if torch.get_default_device().type == "meta" else physical_memory()
    if needed > limit:
        raise MemoryError(
            f"{field} (={value}) requires {needed / 2**30:.3g} GiB for {parameters:.3g} parameters, but "
            f"{limit / 2**30:.3g} GiB are available. Use fewer units."
        )


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


STEPS = 50
"""Number of bisections of the scale factor: more than the precision of a float."""

M = TypeVar("M", bound="Sized")


class Sized(Model):
    """Base of networks with a target number of parameters: ``parameters: 1000000`` scales all widths by one factor.

    The proportions of the widths are kept, except for rounding; depth, kernels and other settings do not change.
    """

    parameters: int | None = Field(
        default=None,
        ge=1,
        description="scale all widths in proportion so that the network has about this number of parameters",
    )

    @abstractmethod
    def in_proportion(self: M, factor: float) -> M:
        """The same network with all widths multiplied by ``factor``, at least 1 each."""

    def sized(self: M, input_shape: tuple[int, ...], outputs: int) -> M:
        """The network whose number of parameters is closest to ``parameters``; unchanged if it is not set.

        Raises ValueError if widths of 1 already have more parameters, or there are no widths to scale.
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
                f"model.parameters (={self.parameters}) must be at least {count(low)}, the number with widths of "
                "1. Increase it, or use fewer layers."
            )
        while count(high) < self.parameters:
            high *= 2
            if high > 1e9:
                raise ValueError(
                    f"model.parameters (={self.parameters}) cannot be reached: the network has no hidden layers "
                    "to scale. Remove it, or add hidden layers."
                )
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if count(middle) < self.parameters else (low, middle)
        nearest = min((low, high), key=lambda factor: abs(count(factor) - (self.parameters or 0)))
        return plain.in_proportion(nearest)


def scaled(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Widths times a factor, rounded, at least 1."""
    return tuple(max(1, round(width * factor)) for width in widths)
