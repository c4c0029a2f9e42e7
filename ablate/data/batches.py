"""Move samples of a split into a batch: the dtype in storage, the dtype in a batch, and the copy to the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch
from ablate.trees import Tree, tree_map

if TYPE_CHECKING:
    from torch import Tensor


def stored(tree: Tree, dtype: torch.dtype, *, is_target: bool = False) -> Tree:
    """Values in their storage type: floats in ``dtype``, uint8 inputs unchanged, other integers int64."""

    def one(values: Tensor) -> Tensor:
        if values.is_floating_point():
            return values.to(dtype)
        return values if values.dtype == torch.uint8 and not is_target else values.long()

    return tree_map(one, tree)


def floats(tree: Tree, dtype: torch.dtype) -> Tree:
    """A batch's inputs as the network gets them: uint8 as floats in [0, 1]."""
    return tree_map(lambda one: one.to(dtype).div_(255) if one.dtype == torch.uint8 else one, tree)


def gather(tree: Tree, index: Tensor) -> Tree:
    """``tree[index]`` for an index (n,) or (R, n); index_select is 2 to 3 times faster than indexing."""

    def one(values: Tensor) -> Tensor:
        rows = values.index_select(0, index.flatten())
        return rows if index.dim() == 1 else rows.view(*index.shape, *rows.shape[1:])

    return tree_map(one, tree)


def on_device(tree: Tree, device: torch.device) -> Tree:
    """Values on a device. Copies to CUDA use pinned memory, so that they do not block."""

    def one(values: Tensor) -> Tensor:
        if device.type == "cuda" and values.device.type == "cpu":
            return values.pin_memory().to(device, non_blocking=True)
        return values.to(device)

    return tree_map(one, tree)
