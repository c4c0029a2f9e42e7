"""Sizes of networks, computed before anything is allocated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

from ablate.registry.lazy import torch

BYTES = 4
"""Bytes of a parameter in float32."""


def dense_parameters(widths: Sequence[int]) -> int:
    """Parameters of linear layers with biases between layers of these widths."""
    return sum(before * after + after for before, after in pairwise(widths))


def convolution_parameters(channels: Sequence[int], kernels: Sequence[int], dimensions: int) -> int:
    """Parameters of convolutions with biases; ``channels`` starts with the image's."""
    pairs = zip(pairwise(channels), kernels, strict=True)
    return sum(before * after * kernel**dimensions + after for (before, after), kernel in pairs)


def check_memory(field: str, value: object, parameters: int) -> None:
    """Raise MemoryError (one line) if ``parameters`` in float32 exceed this machine's memory (on torch's meta device:
    2⁶³ bytes).

    Otherwise, a system that overcommits memory would kill the process while the initial weights are written.
    """
    needed = parameters * BYTES
    limit = 2**63 if torch.get_default_device().type == "meta" else physical_memory()
    if needed > limit:
        raise MemoryError(
            f"{field} (={value}) requires {needed / 2**30:.3g} GiB for {parameters:.3g} parameters, but "
            f"{limit / 2**30:.3g} GiB are available. Use fewer units."
        )


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
