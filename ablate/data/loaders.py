"""Batches for the engine: from tensors that live on the device (`resident`), or read while training goes on (`streamed`).

Both give the same batches in the same order.

Whatever the source, a batch's inputs are floats on the device, uint8 divided by 255 (whole numbers such as tokens stay int64); its targets are floats of the
same type or int64 class numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ablate.data.dataset import Part
from ablate.data.memory import free_bytes
from ablate.data.resident import ResidentLoader
from ablate.data.streamed import StreamedLoader
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple["Tensor", "Tensor"]


class Loader(Protocol):
    """What the engine asks of a part of the data."""

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last, smaller one counts."""
        ...

    def __len__(self) -> int:
        """Samples."""
        ...

    def begin(self, keys: Sequence[int]) -> None:
        """Key what a dataset may draw in the passes to come: a number of (seed, epoch) for each seed of the orders. Without, every pass draws the same."""
        ...

    def batches(self, order: Tensor | None = None) -> Iterator[Pair]:
        """The samples at ``order`` (int64, any length), a batch at a time; all of them from first to last without it.

        An order (R, n) of a stack gives batches with a leading R axis. Batches of an order are the caller's own; those without one may be views of the data and
        must not be written to.
        """
        ...

    def with_batch_size(self, batch_size: int) -> Loader:
        """The same samples, not stored again, in batches of another size."""
        ...


def loader_for(
    part: Part,
    mode: Literal["auto", "resident", "streamed"],
    batch_size: int,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    workers: int = 0,
) -> Loader:
    """The loader of a part. ``auto``: resident when the part is in memory and what it adds to the device fits half of what is free there.

    ``dtype`` is the batches' float type, float32 by default. Raises ValueError for ``resident`` where the part is not in memory.
    """
    dtype = dtype or torch.float32
    if mode == "resident" and part.inputs is None:
        raise ValueError(
            "loader (=resident) needs samples that are the same at every reading and that fit into memory. Use 'auto' or 'streamed'."
        )
    if mode == "auto":
        mode = (
            "resident"
            if part.inputs is not None and _added(part, device, dtype) <= free_bytes(device) // 2
            else "streamed"
        )
    if mode == "resident":
        return ResidentLoader(part, batch_size, device, dtype)
    return StreamedLoader(part, batch_size, device, dtype, workers=workers)


def _added(part: Part, device: str, dtype: torch.dtype) -> int:
    """Bytes that a part in memory adds to the device: nothing where it is there already, in the right type."""
    total = 0
    assert part.inputs is not None
    assert part.targets is not None
    for values in (part.inputs, part.targets):
        size = dtype.itemsize if values.is_floating_point() else values.element_size()
        stays = torch.device(device).type == "cpu" and size == values.element_size()
        total += 0 if stays else values.numel() * size
    return total
