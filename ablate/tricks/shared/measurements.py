"""Inputs that are floating-point values, not tokens, for tricks that add, average or scale them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


def check_measurements(trick: str, spec: Spec) -> None:
    """Raise ValueError (one line) if inputs are tokens."""
    if spec.vocabulary:
        raise ValueError(f"trick (={trick}) requires floating-point inputs, but the data are tokens. Remove it.")


def as_floats(inputs: Tensor | None, trick: str) -> Tensor:
    """Bytes as float32 in [0, 1]; floats as they are. Raises ValueError for other types."""
    assert inputs is not None
    if inputs.dtype == torch.uint8:
        return inputs.float() / 255
    if not inputs.is_floating_point():
        raise ValueError(f"trick (={trick}) requires floating-point inputs, but they are {inputs.dtype}. Remove it.")
    return inputs
