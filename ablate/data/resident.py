"""Batches from tensors on the device."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ablate.data.batches import floats, gather, on_device, stored
from ablate.data.dataset import Part
from ablate.data.memory import free_bytes
from ablate.registry.lazy import torch
from ablate.trees import Tree, cloned, length, split, tensors, tree_map

if TYPE_CHECKING:
    from torch import Tensor

SPAN = 2**20
"""Bytes of inputs gathered at once.

Small batches share one gather, which is 2 to 4 times faster; large ones stay in the CPU cache.
"""

AS_FLOATS = 2**28
"""Maximum size in bytes of uint8 inputs kept as floats on a CPU.

Converting every batch took 6% of an epoch of a small mlp on faces.
"""


class ResidentLoader:
    """A split whose tensors are copied to the device once; batches are gathered there.

    uint8 is converted in each batch. On a CPU, inputs of up to `AS_FLOATS` bytes (at most an eighth of the free memory)
    are converted in advance, with equal results. ``copies``: batches without an order are copies, not views.
    """

    ordered = True

    def __init__(
        self,
        part: Part,
        batch_size: int,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        copies: bool = False,
    ) -> None:
        self.copies = copies
        every, targets = part.tensors
        self.batch_size, self.device, self.dtype = batch_size, torch.device(device), dtype or torch.float32
        inputs = stored(every, self.dtype)
        pixels = sum(values.numel() for values in tensors(inputs) if values.dtype == torch.uint8)
        if self.device.type == "cpu" and pixels:
            size = pixels * self.dtype.itemsize
            if size <= AS_FLOATS and size <= free_bytes("cpu") // 8:
                inputs = floats(inputs, self.dtype)
        self.inputs = self._placed(inputs)
        self.targets = self._placed(stored(targets, self.dtype, is_target=True))

    def _placed(self, tree: Tree) -> Tree:
        return tree_map(lambda values: values.to(self.device).contiguous(), tree)

    @property
    def steps(self) -> int:
        return -(-len(self) // self.batch_size)

    def __len__(self) -> int:
        return length(self.inputs)

    def with_batch_size(self, batch_size: int) -> ResidentLoader:
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """Data in memory draw no random numbers."""

    def batches(self, order: Tensor | None = None) -> Iterator[tuple[Tree, Tree]]:
        if order is None:
            for inputs, targets in zip(
                split(self.inputs, self.batch_size), split(self.targets, self.batch_size), strict=True
            ):
                batch = floats(inputs, self.dtype), targets
                yield cloned(batch) if self.copies else batch
            return
        order = on_device(order, self.device)
        for span in torch.split(order, span_of(self.inputs, self.dtype, self.batch_size, order), dim=-1):
            inputs, targets = floats(gather(self.inputs, span), self.dtype), gather(self.targets, span)
            axis = span.dim() - 1
            yield from zip(split(inputs, self.batch_size, axis), split(targets, self.batch_size, axis), strict=True)


def span_of(inputs: Tree, dtype: torch.dtype, batch_size: int, order: Tensor) -> int:
    """Number of samples (of each seed of a stack) gathered at once: whole batches within `SPAN` bytes, at least one."""
    batch_bytes = (
        sum(values[:1].numel() for values in tensors(inputs)) * dtype.itemsize * batch_size * order[..., :1].numel()
    )
    return max(SPAN // max(batch_bytes, 1), 1) * batch_size
