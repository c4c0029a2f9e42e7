"""Cached tensors of constants: copying them to the device in every step would block the host."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def constant_like(values: float | tuple[float, ...], like: Tensor) -> Tensor:
    """A tensor of one number (0-d) or several (n,) with the dtype and device of ``like``.

    It is shared: do not modify it in place.
    """
    return _constant(values, like.dtype, like.device)


@lru_cache(maxsize=256)
def _constant(values: float | tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
