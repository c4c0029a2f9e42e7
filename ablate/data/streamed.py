"""Batches of data that do not fit in memory or are random, read during training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from ablate.data.batches import floats, gather, on_device, stored
from ablate.data.dataset import Part
from ablate.data.resident import span_of
from ablate.registry.lazy import LazyModule, torch
from ablate.rng.noise import key
from ablate.trees import Tree, split, stacked, tree_map

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.utils.data import DataLoader
else:
    np = LazyModule("numpy")

Pair = tuple[Tree, Tree]
Ask = tuple[list[int], list[int]]
"""Of a batch: the positions of the samples, and the key of each sample's random numbers."""


class StreamedLoader:
    """A split that is read batch by batch by torch's DataLoader, in ``workers`` persistent processes or in this
    process.

    On CUDA, batches are copied through pinned memory while the device computes. Random numbers that a dataset draws
    from the global generators are keyed by sample (`begin`), so they do not depend on ``workers``, the other seeds of a
    stack, or what the model draws.
    """

    ordered = True

    def __init__(
        self, part: Part, batch_size: int, device: str = "cpu", dtype: torch.dtype | None = None, *, workers: int = 0
    ) -> None:
        self.part, self.workers = part, workers
        self.batch_size, self.device, self.dtype = batch_size, torch.device(device), dtype or torch.float32
        self._order = _Order(batch_size)
        self._keys: Sequence[int] = ()
        direct = part.inputs is not None and not workers
        self._loader: DataLoader[Any] | None = None if direct else self._processes()

    def _processes(self) -> DataLoader[Any]:
        from torch.utils.data import DataLoader

        in_memory = self.part.inputs is not None
        return DataLoader(
            cast("Any", _Rows(self.part) if in_memory else _Keyed(self.part.dataset)),
            batch_sampler=cast("Any", self._order),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.workers > 0,
            generator=torch.Generator(),
            collate_fn=cast("Any", _as_is if in_memory else getattr(self.part.dataset, "collate", stacked_pair)),
        )

    @property
    def steps(self) -> int:
        return -(-len(self.part) // self.batch_size)

    def __len__(self) -> int:
        return len(self.part)

    def with_batch_size(self, batch_size: int) -> StreamedLoader:
        return StreamedLoader(self.part, batch_size, str(self.device), self.dtype, workers=self.workers)

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """Key the random numbers of the following passes by (seed, epoch). Without it, every pass draws the same."""
        self._keys = [key(seed, f"data/{epoch}") for seed in seeds]

    def batches(self, order: Tensor | None = None) -> Iterator[Pair]:
        order = torch.arange(len(self.part)) if order is None else order.cpu()
        if self._loader is None:
            yield from self._gathered(order)
            return
        seeds = order.shape[0] if order.dim() > 1 else 1
        self._order.set(order, self._keys if len(self._keys) == seeds else (0,) * seeds)
        for inputs, targets in self._loader:
            batch = (
                ready(inputs, self.device, self.dtype),
                ready(targets, self.device, self.dtype, is_target=True),
            )
            yield batch if order.dim() == 1 else tree_map(lambda one: one.view(len(order), -1, *one.shape[1:]), batch)

    def _gathered(self, order: Tensor) -> Iterator[Pair]:
        """From memory, without worker processes: several small batches at once, as for resident data."""
        inputs, targets = self.part.tensors
        axis = order.dim() - 1
        for span in torch.split(order, span_of(inputs, self.dtype, self.batch_size, order), dim=-1):
            # first to the device, then to floats: uint8 is a quarter of the bytes to copy
            x = floats(on_device(stored(gather(inputs, span), self.dtype), self.device), self.dtype)
            y = on_device(stored(gather(targets, span), self.dtype, is_target=True), self.device)
            yield from zip(split(x, self.batch_size, axis), split(y, self.batch_size, axis), strict=True)


class _Order:
    """A batch sampler for a DataLoader that is kept for all epochs: order and keys are set for each epoch."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.chunks: tuple[Tensor, ...] = ()
        self.keys: Sequence[int] = ()

    def set(self, order: Tensor, keys: Sequence[int]) -> None:
        self.chunks, self.keys = torch.split(order, self.batch_size, dim=-1), keys

    def __iter__(self) -> Iterator[Ask]:
        begun = 0
        for chunk in self.chunks:
            places = range(begun, begun + chunk.shape[-1])
            yield chunk.flatten().tolist(), [mixed(number, place) for number in self.keys for place in places]
            begun = places.stop

    def __len__(self) -> int:
        return len(self.chunks)


class _Rows:
    """Tensors in memory as a dataset that returns a whole batch at once."""

    def __init__(self, part: Part) -> None:
        self.inputs, self.targets = part.tensors

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitems__(self, ask: Ask) -> Pair:
        rows = torch.tensor(ask[0])
        return gather(self.inputs, rows), gather(self.targets, rows)


class _Keyed:
    """A dataset that sets the global generators to the key of each sample before reading it, and restores them
    afterwards.

    Seeding the generators (16 µs) takes longer than reading many samples. So they are not seeded until a batch draws
    from one of them; that batch is then read again.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.draws = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, ask: Ask) -> list[Any]:
        before = Generators()
        try:
            if not self.draws:
                samples = [self.dataset[index] for index in ask[0]]
                if before.are_as_now():
                    return samples
                self.draws = True
            return [self._keyed(index, number) for index, number in zip(*ask, strict=True)]
        finally:
            before.restore()

    def _keyed(self, index: int, number: int) -> Any:
        seed_generators(number)
        return self.dataset[index]


class Generators:
    """The states of the global generators of torch (CPU), NumPy and Python when this object was created."""

    def __init__(self) -> None:
        self.torchs, self.numpys, self.pythons = torch.get_rng_state(), np.random.get_state(), random.getstate()

    def are_as_now(self) -> bool:
        """Whether nothing was drawn since."""
        now = Generators()
        numpys = all(np.array_equal(a, b) for a, b in zip(self.numpys, now.numpys, strict=True))
        return torch.equal(self.torchs, now.torchs) and numpys and self.pythons == now.pythons

    def restore(self) -> None:
        torch.set_rng_state(self.torchs)
        np.random.set_state(self.numpys)
        random.setstate(self.pythons)


def seed_generators(number: int) -> None:
    """Seed the global generators of torch (CPU), NumPy and Python."""
    torch.default_generator.manual_seed(number)
    np.random.seed(number & 0xFFFFFFFF)
    random.seed(number)


def ready(value: Tree, device: torch.device, dtype: torch.dtype, *, is_target: bool = False) -> Tree:
    """A batch that was read, as the network gets it."""
    value = tree_map(lambda one: one.to(device, non_blocking=device.type == "cuda"), value)
    value = stored(value, dtype, is_target=is_target)
    return value if is_target else floats(value, dtype)


def mixed(number: int, place: int) -> int:
    """A 63-bit key for the sample at ``place`` of an order: SplitMix64 (Steele, Lea and Flood 2014), because generators
    use only the low 32 bits.
    """
    value = (number + (place + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) >> 1


def _as_is(batch: Pair) -> Pair:
    return batch


def stacked_pair(samples: list[Pair]) -> Pair:
    """A batch of samples; torch's own function makes no dataclasses."""
    from torch.utils.data import default_collate

    plain = all(isinstance(half, torch.Tensor) for half in samples[0])
    batch: Pair = tuple(default_collate(samples)) if plain else stacked(samples)
    return batch
