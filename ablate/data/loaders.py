"""Batches for the engine: from tensors that live on the device, or streamed through torch's DataLoader. Both give the same batches in the same order.

Whatever the source, a batch's inputs are floats on the device, uint8 divided by 255 (whole numbers such as tokens stay int64); its targets are floats of the
same type or int64 class numbers.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from ablate.data.dataset import Part
from ablate.data.memory import free_bytes
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

Pair = tuple["Tensor", "Tensor"]

SPAN = 2**20
"""Bytes of inputs that are gathered at once: small batches share one gather (2 to 4 times faster), large ones stay in the processor's cache."""


class Loader(Protocol):
    """What the engine asks of a part of the data."""

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last, smaller one counts."""
        ...

    def __len__(self) -> int:
        """Samples."""
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


class ResidentLoader:
    """A part whose tensors are put on the device once; batches are gathered there. uint8 stays uint8 until it is in a batch."""

    def __init__(self, part: Part, batch_size: int, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        assert part.inputs is not None
        assert part.targets is not None
        self.batch_size, self.device, self.dtype = batch_size, torch.device(device), dtype or torch.float32
        self.inputs = _stored(part.inputs, self.dtype).to(self.device).contiguous()
        self.targets = _stored(part.targets, self.dtype, is_target=True).to(self.device).contiguous()

    @property
    def steps(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def __len__(self) -> int:
        return len(self.inputs)

    def with_batch_size(self, batch_size: int) -> ResidentLoader:
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    def batches(self, order: Tensor | None = None) -> Iterator[Pair]:
        if order is None:
            for inputs, targets in zip(
                torch.split(self.inputs, self.batch_size), torch.split(self.targets, self.batch_size), strict=True
            ):
                yield _floats(inputs, self.dtype), targets
            return
        order = order.to(self.device)
        batch_bytes = self.inputs[:1].numel() * self.dtype.itemsize * self.batch_size * order[..., :1].numel()
        span_size = max(SPAN // max(batch_bytes, 1), 1) * self.batch_size
        for span in torch.split(order, span_size, dim=-1):
            inputs = _floats(_gather(self.inputs, span), self.dtype)
            targets = _gather(self.targets, span)
            axis = span.dim() - 1
            yield from zip(
                torch.split(inputs, self.batch_size, axis), torch.split(targets, self.batch_size, axis), strict=True
            )


class StreamedLoader:
    """A part that is read a batch at a time by torch's DataLoader, in ``workers`` processes that live as long as the loader.

    On CUDA batches travel through pinned memory. Workers' random numbers follow from the order alone, so a resumed epoch repeats itself.
    """

    def __init__(
        self, part: Part, batch_size: int, device: str = "cpu", dtype: torch.dtype | None = None, *, workers: int = 0
    ) -> None:
        from torch.utils.data import DataLoader

        self.part, self.workers = part, workers
        self.batch_size, self.device, self.dtype = batch_size, torch.device(device), dtype or torch.float32
        self._order = _Order(batch_size)
        self._generator = torch.Generator()
        self._pinned = self.device.type == "cuda"
        self._loader: DataLoader[Any] = DataLoader(
            cast("Any", _Rows(part) if part.inputs is not None else part.dataset),
            batch_sampler=cast("Any", self._order),
            num_workers=workers,
            pin_memory=self._pinned,
            persistent_workers=workers > 0,
            generator=self._generator,
            collate_fn=cast("Any", _as_is if part.inputs is not None else None),
        )

    @property
    def steps(self) -> int:
        return -(-len(self.part) // self.batch_size)

    def __len__(self) -> int:
        return len(self.part)

    def with_batch_size(self, batch_size: int) -> StreamedLoader:
        return StreamedLoader(self.part, batch_size, str(self.device), self.dtype, workers=self.workers)

    def batches(self, order: Tensor | None = None) -> Iterator[Pair]:
        order = torch.arange(len(self.part)) if order is None else order.cpu()
        self._order.set(order)
        digest = hashlib.blake2b(order.contiguous().numpy().tobytes(), digest_size=8).digest()
        self._generator.manual_seed(int.from_bytes(digest, "big") >> 1)
        for inputs, targets in self._loader:
            yield self._ready(inputs, order), self._ready(targets, order, is_target=True)

    def _ready(self, value: Tensor, order: Tensor, *, is_target: bool = False) -> Tensor:
        value = value.to(self.device, non_blocking=self._pinned)
        value = _stored(value, self.dtype, is_target=is_target)
        value = value if is_target else _floats(value, self.dtype)
        return value if order.dim() == 1 else value.view(order.shape[0], -1, *value.shape[1:])


class _Order:
    """The batch sampler of a DataLoader that outlives its epochs: the order is set anew for each of them."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.chunks: tuple[Tensor, ...] = ()

    def set(self, order: Tensor) -> None:
        self.chunks = torch.split(order, self.batch_size, dim=-1)

    def __iter__(self) -> Iterator[list[int]]:
        return (chunk.flatten().tolist() for chunk in self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


class _Rows:
    """Tensors in memory as a dataset that is asked for a whole batch at once."""

    def __init__(self, part: Part) -> None:
        assert part.inputs is not None
        assert part.targets is not None
        self.inputs, self.targets = part.inputs, part.targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitems__(self, index: list[int]) -> Pair:
        rows = torch.tensor(index)
        return self.inputs.index_select(0, rows), self.targets.index_select(0, rows)


def _as_is(batch: Pair) -> Pair:
    return batch


def _stored(values: Tensor, dtype: torch.dtype, *, is_target: bool = False) -> Tensor:
    """Values in the type they are kept in: floats in ``dtype``, uint8 inputs as they are, all other whole numbers int64."""
    if values.is_floating_point():
        return values.to(dtype)
    return values if values.dtype == torch.uint8 and not is_target else values.long()


def _floats(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """A batch's inputs as the network sees them: uint8 as floats in [0, 1]."""
    return inputs.to(dtype).div_(255) if inputs.dtype == torch.uint8 else inputs


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` for an index (n,) or (R, n); index_select is 2 to 3 times faster than indexing."""
    rows = values.index_select(0, index.flatten())
    return rows if index.dim() == 1 else rows.view(*index.shape, *rows.shape[1:])


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
