"""How many samples go through a network at once when it is evaluated.

Losses and metrics are computed on wide batches, whose size depends on the inputs only, so that variants with different
networks are measured alike. The forward pass divides such a batch into pieces whose activations fit in the caches of a
CPU, or in a small part of a GPU's memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ablate.data.dataset import Spec
from ablate.data.streamed import Generators
from ablate.registry.lazy import torch
from ablate.trees import Tree, joined, leaves, length, tree_map

if TYPE_CHECKING:
    from torch import Tensor

CPU_BYTES = 2**23
"""The largest activation of a piece. From 32 MB, the C library returns the memory of each tensor to the system."""

GPU_BYTES = 2**28

LEAST = 16
"""The fewest samples of a piece: with fewer, most of the time of wide linear layers is the reading of their weights."""

TRIED = (2, 4)
"""Numbers of samples whose activations are measured."""

WHOLE = 0
"""The size of pieces if batches are not divided."""


def wide_batch(batch_size: int, spec: Spec) -> int:
    """Batch size without gradients: larger than in training, if the inputs stay below about 16 MB."""
    shapes = [spec.input_shape] if spec.input_form is None else leaves(spec.input_form)
    size = sum(math.prod(shape) for shape in shapes)
    return max(batch_size, min(1024, 2**22 // max(size, 1)))


def piece_size(bytes_per_sample: int, batch_size: int, device: str = "cpu") -> int:
    """The number of samples of a piece, from the bytes per sample of the largest activation (of all seeds of a stack).

    On a GPU, at least as many as in training, which needs more memory.
    """
    if bytes_per_sample <= 0:
        return WHOLE
    if device == "cpu":
        return max(LEAST, CPU_BYTES // bytes_per_sample)
    return max(batch_size, GPU_BYTES // bytes_per_sample)


@dataclass
class Pieces:
    """Divides batches for the forward pass.

    ``size`` is the largest number of samples of a piece. It is None until the first batch of at least four samples,
    from which it is measured. ``lead`` is the number of axes before the batch axis of predictions.
    """

    batch_size: int
    device: str = "cpu"
    lead: int = 0
    size: int | None = None

    def predict(self, forward: Callable[[Tree], Tree], inputs: Tree) -> Tree:
        """The predictions of ``forward`` for a batch (N, …)."""
        count = length(inputs)
        if self.size is None and count >= TRIED[-1]:
            self.size = self._measure(forward, inputs)
        if not self.size or count <= self.size:
            return forward(inputs)
        # as even as possible, because a network may not accept a single sample
        number = -(-count // self.size)
        ends = [i * count // number for i in range(number + 1)]
        parts = [forward(part(inputs, start, end)) for start, end in pairwise(ends)]
        return joined(parts, self.lead)

    def _measure(self, forward: Callable[[Tree], Tree], inputs: Tree) -> int:
        """The size of pieces by what the network allocates for a few samples, or `WHOLE` if it does not accept them, or
        if its predictions for a sample depend on the others or on random numbers.
        """
        from ablate.engine.allocations import allocations

        before = Generators()
        try:
            (few, less), (more, sizes) = (allocations(forward, part(inputs, 0, count)) for count in TRIED)
            apart = self._apart(few, more)
        except Exception:  # custom code that takes whole batches only
            return WHOLE
        finally:
            before.restore()
        if not apart or len(less) != len(sizes):
            return WHOLE
        growth = max((b - a for a, b in zip(less, sizes, strict=True)), default=0)
        return piece_size(growth // (TRIED[1] - TRIED[0]), self.batch_size, self.device)

    def _apart(self, few: Tree, more: Tree) -> bool:
        """Whether predictions are tensors with a row for each sample, which does not depend on the number of samples.

        ``few`` and ``more`` are those of the first samples of a batch.
        """
        pairs = list(zip(leaves(few), leaves(more), strict=True))
        if not all(isinstance(one, torch.Tensor) for pair in pairs for one in pair):
            return False
        counts = [(length(a, self.lead), length(b, self.lead)) for a, b in pairs]
        return all(each == TRIED for each in counts) and all(
            agree(a, b.narrow(self.lead, 0, TRIED[0])) for a, b in pairs
        )


def part(tree: Tree, start: int, end: int) -> Tree:
    """Some samples of a batch."""
    return tree_map(lambda values: values[start:end], tree)


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of the same shape are equal up to rounding, relative to the largest value."""
    if not one.is_floating_point():
        return torch.equal(one, other)
    share = math.sqrt(torch.finfo(one.dtype).eps)
    one, other = (values.double().nan_to_num(0.0, 0.0, 0.0) for values in (one, other))
    return bool(((one - other).abs() <= share * one.abs().max()).all())
