"""Random numbers that belong to a seed: whoever shares its stack, whichever other tricks are on, they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


def key(seed: int, stream: str) -> int:
    """A 63-bit number for (seed, stream name): nearby seeds and names give unrelated numbers."""
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, stream: str, device: str = "cpu") -> Generator:
    """A generator keyed by seed and stream name."""
    return torch.Generator(device=device).manual_seed(key(seed, stream))


class Noise:
    """One stream of random numbers for each replica of a stack.

    ``seeds`` are the replicas'. With one seed the numbers have the shape that is asked for; in a stack of R they have a leading R axis,
    drawn replica by replica, so that a replica's numbers do not depend on its neighbours.
    """

    def __init__(self, seeds: Sequence[int], stream: str, device: str = "cpu", *, stacked: bool = False) -> None:
        self.seeds, self.stream, self.device = tuple(seeds), stream, device
        self.generators = [generator(seed, stream, device) for seed in seeds]
        self.stacked = stacked or len(self.generators) > 1

    def begin(self, epoch: int) -> None:
        """Start an epoch's own numbers, keyed by (seed, stream, epoch): a resumed training needs no saved state."""
        for seed, g in zip(self.seeds, self.generators, strict=True):
            g.manual_seed(key(seed, f"{self.stream}/{epoch}"))

    def _each(self, draws: list[Tensor]) -> Tensor:
        return torch.stack(draws) if self.stacked else draws[0]

    def uniform(self, *shape: int) -> Tensor:
        """Float32 in [0, 1), shape ``shape`` (stack: (R, *shape))."""
        return self._each([torch.rand(shape, generator=g, device=self.device) for g in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32."""
        return self._each([torch.randn(shape, generator=g, device=self.device) for g in self.generators])

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Int64 in [low, high)."""
        return self._each([torch.randint(low, high, shape, generator=g, device=self.device) for g in self.generators])

    def permutation(self, n: int) -> Tensor:
        """A random order of 0 … n−1."""
        return self._each([torch.randperm(n, generator=g, device=self.device) for g in self.generators])
