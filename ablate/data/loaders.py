"""Batches for the engine, from tensors on the device (`resident`) or read during training (`streamed`).

Both give the same batches in the same order. Inputs of a batch are floats on the device, with uint8 divided by 255
(other integers, such as tokens, are int64); targets are floats of the same type or int64 class indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ablate.data.dataset import Part
from ablate.data.iterable import IterableLoader, Stream
from ablate.data.memory import free_bytes
from ablate.data.resident import ResidentLoader
from ablate.data.streamed import StreamedLoader
from ablate.registry.lazy import torch
from ablate.trees import Tree, tensors

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[Tree, Tree]


class Loader(Protocol):
    """The interface of a split for the engine."""

    @property
    def ordered(self) -> bool:
        """Whether samples have positions, so that the engine chooses their order; false for an `IterableDataset`."""
        ...

    @property
    def steps(self) -> int:
        """Number of batches in an epoch, including a smaller last one."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """Key the random numbers of the following passes by (seed, epoch). Without it, every pass draws the same."""
        ...

    def batches(self, order: Tensor | None = None) -> Iterator[Pair]:
        """The samples at ``order`` (int64, any length) in batches; without it, all samples in order.

        An order (R, n) of a stack gives batches with a leading R axis. Batches of an order belong to the caller.
        Batches without one may be views of the data: do not write to them, unless the loader makes copies.
        """
        ...

    def with_batch_size(self, batch_size: int) -> Loader:
        """The same samples, not copied, in batches of another size."""
        ...


def loader_for(
    part: Part,
    mode: Literal["auto", "resident", "streamed"],
    batch_size: int,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    workers: int = 0,
    copies: bool = False,
) -> Loader:
    """The loader of a split. ``auto``: resident if the split is in memory and fits in half of the device's free memory.

    ``dtype`` is the float type of the batches, float32 by default. ``copies``: no batch is a view of the data. Raises
    ValueError for ``resident`` if the split is not in memory.
    """
    dtype = dtype or torch.float32
    if isinstance(part.dataset, Stream):
        return IterableLoader(part.dataset, batch_size, device, dtype)
    if mode == "resident" and part.inputs is None:
        raise ValueError(
            "loader (=resident) requires deterministic samples that fit in memory. Use 'auto' or 'streamed'."
        )
    if mode == "auto":
        mode = (
            "resident"
            if part.inputs is not None and _added(part, device, dtype) <= free_bytes(device) // 2
            else "streamed"
        )
    if mode == "resident":
        return ResidentLoader(part, batch_size, device, dtype, copies=copies)
    return StreamedLoader(part, batch_size, device, dtype, workers=workers)


def _added(part: Part, device: str, dtype: torch.dtype) -> int:
    """Bytes that a split in memory adds to the device: 0 if it is already there in the right type."""
    total = 0
    for values in tensors(part.tensors):
        size = dtype.itemsize if values.is_floating_point() else values.element_size()
        stays = torch.device(device).type == "cpu" and size == values.element_size()
        total += 0 if stays else values.numel() * size
    return total
