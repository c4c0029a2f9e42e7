"""An `IterableDataset` as the training set: an epoch takes its next batches, and every seed has its own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Any, cast

from ablate.data.memory import free_bytes
from ablate.data.samples import READ_TWICE, Collated, Samples, same_samples
from ablate.data.streamed import Generators, Pair, ready, seed_generators, stacked_pair
from ablate.registry.lazy import torch
from ablate.rng.noise import key
from ablate.trees import tree_map

if TYPE_CHECKING:
    from torch import Tensor

MOST = 1_000_000
"""Number of samples after which an iterable validation or test set counts as infinite."""

CHECKED = 1000
"""Number of samples between two looks at the free memory."""


class Stream:
    """An `IterableDataset` with the conversion of its samples, of which an epoch takes ``per_epoch`` batches.

    A pass is one iteration. Before it begins, the global generators (torch's, NumPy's, Python's) are seeded by (seed,
    number of the pass); while samples are read, they have the stream's own state.
    """

    def __init__(self, source: Any, where: str, per_epoch: int, form: Samples | Collated) -> None:
        self.source, self.where, self.per_epoch, self.form = source, where, per_epoch, form

    def samples(self, seed: int) -> Iterator[Any]:
        """All samples of one pass after another, as the stream gives them."""
        for number in count():
            seed_generators(key(seed, f"data/pass/{number}"))
            iterator = iter(self.source)
            if iterator is self.source:
                raise ValueError(
                    f"{self.where}: __iter__ must return a new iterator, but it returns the dataset itself."
                )
            empty = True
            for sample in iterator:
                empty = False
                yield sample
            if empty:
                raise ValueError(
                    f"{self.where} yields no samples in iteration {number + 1}. Each must yield at least one."
                )

    def batch(self, samples: Sequence[Any]) -> Pair:
        """A batch (N, …) of inputs and targets."""
        if isinstance(self.form, Collated):
            return self.form.collate(list(samples))
        return stacked_pair([self.form.converted(sample, number) for number, sample in enumerate(samples)])

    def first(self) -> Pair:
        """The first sample of seed 0."""
        return cast("Pair", tree_map(lambda values: values[0], self.batch(Reader(self, 0).take(1))))

    def repeats(self) -> bool:
        """Whether a pass of the same seed begins with the same samples when it is read again."""
        one, two = (self._begun(0) for _ in range(2))
        return len(one) == len(two) and all(map(same_samples, one, two))

    def _begun(self, seed: int) -> list[Pair]:
        return [self.batch([sample]) for sample in Reader(self, seed).take(READ_TWICE)]


class Reader:
    """Reads a stream in order. ``taken`` is the number of samples so far."""

    def __init__(self, stream: Stream, seed: int) -> None:
        self.samples, self.taken = stream.samples(seed), 0
        self.generators: Generators | None = None

    def take(self, samples: int) -> list[Any]:
        """The next samples. The global generators are the stream's own meanwhile."""
        before = Generators()
        try:
            if self.generators is not None:
                self.generators.restore()
            found = list(islice(self.samples, samples))
            self.generators = Generators()
        finally:
            before.restore()
        self.taken += len(found)
        return found


class IterableLoader:
    """The training set of one seed. An epoch goes on where the one before it ended.

    A resumed training reads the samples again that it has taken, and drops them. Every other pass (without `begin`, or
    with an order) reads the first samples of a pass of its own, which is the same for all seeds.
    """

    ordered = False

    def __init__(self, stream: Stream, batch_size: int, device: str, dtype: torch.dtype) -> None:
        self.stream, self.batch_size, self.device, self.dtype = stream, batch_size, torch.device(device), dtype
        self.total = stream.per_epoch * batch_size
        self.seed: int | None = None
        self.epoch = 1
        self.reader: Reader | None = None

    @property
    def steps(self) -> int:
        return -(-self.total // self.batch_size)

    def __len__(self) -> int:
        return self.total

    def with_batch_size(self, batch_size: int) -> IterableLoader:
        other = IterableLoader(self.stream, batch_size, str(self.device), self.dtype)
        other.total = self.total
        return other

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """The next pass is this epoch of a seed."""
        self.seed, self.epoch = seeds[0], epoch

    def batches(self, order: Tensor | None = None) -> Iterator[Pair]:
        left = self.total if order is None else len(order)
        reader = self._reader(self.seed) if order is None and self.seed is not None else Reader(self.stream, 0)
        while left > 0:
            samples = reader.take(min(left, self.batch_size))
            left -= len(samples)
            inputs, targets = self.stream.batch(samples)
            yield (
                ready(inputs, self.device, self.dtype),
                ready(targets, self.device, self.dtype, is_target=True),
            )

    def _reader(self, seed: int) -> Reader:
        """The reader at the beginning of the epoch."""
        begins = (self.epoch - 1) * self.total
        if self.reader is None or self.reader.taken != begins:
            self.reader = Reader(self.stream, seed)
            while self.reader.taken < begins:
                self.reader.take(min(self.batch_size, begins - self.reader.taken))
        return self.reader


def read_through(source: Any, where: str) -> list[Any]:
    """All samples of a finite iterable. Raises ValueError (one line) if it has too many, or they fill the memory."""
    found: list[Any] = []
    enough = free_bytes("cpu") // 2
    for sample in source:
        found.append(sample)
        if len(found) > MOST or (len(found) % CHECKED == 0 and free_bytes("cpu") < enough):
            raise ValueError(
                f"{where} (={type(source).__name__}) must be finite and fit in memory, but has more than "
                f"{len(found) - 1:,} samples. Limit it, for example with itertools.islice."
            )
    return found
