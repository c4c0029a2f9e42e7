"""Move samples of a split into a batch: the dtype in storage, the dtype in a batch, and the copy to the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def stored(values: Tensor, dtype: torch.dtype, *, is_target: bool = False) -> Tensor:
    """Values in their storage type: floats in ``dtype``, uint8 inputs unchanged, other integers int64."""
    if values.is_floating_point():
        return values.to(dtype)
    return values if values.dtype == torch.uint8 and not is_target else values.long()


def floats(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """A batch's inputs as the network gets them: uint8 as floats in [0, 1]."""
    return inputs.to(dtype).div_(255) if inputs.dtype == torch.uint8 else inputs


def gather(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` for an index (n,) or (R, n); index_select is 2 to 3 times faster than indexing."""
    rows = values.index_select(0, index.flatten())
    return rows if index.dim() == 1 else rows.view(*index.shape, *rows.shape[1:])


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device. Copies to CUDA use pinned memory, so that they do not block."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
