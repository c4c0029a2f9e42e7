"""Samples of any map-style dataset as pairs of tensors, and whether they can be read once and kept."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

from ablate.data.keypoints import as_coordinates
from ablate.data.memory import free_bytes
from ablate.data.rounding import narrowed
from ablate.registry.described import type_of
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

READ_TWICE = 64
"""Number of samples compared between two readings: a random change with probability 0.1 is missed once in 300,000
times.
"""


class Samples:
    """A map-style dataset with (input, target) tensors: numbers and arrays are converted; a single float target becomes
    (1,). ``double``: Python's floats stay float64; ``are_points``: targets are keypoints.
    """

    def __init__(self, source: Any, where: str, *, double: bool = False, are_points: bool = False) -> None:
        self.source, self.where, self.double, self.are_points = source, where, double, are_points

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.source[index]
        if not (isinstance(sample, tuple | list) and len(sample) == 2):
            came = type_of(sample) + (f" of {len(sample)}" if isinstance(sample, tuple | list) else "")
            raise ValueError(f"{self.where} has {came} as sample {index}. It must be (input, target).")
        inputs, target = sample
        # building the error text costs more than most samples: only do it if something has to be converted
        if not _is_ready(inputs):
            inputs = as_tensor(inputs, f"{self.where} sample {index}")
        if not _is_ready(target) or target.dtype == torch.uint8:
            target = as_tensor(target, f"{self.where} sample {index}", is_target=True)
        if self.are_points:
            return inputs, as_coordinates(target, 0)
        return inputs, target.unsqueeze(0) if target.dim() == 0 and target.is_floating_point() else target


def _is_ready(value: Any) -> bool:
    """Whether a value is a tensor that `as_tensor` would return unchanged."""
    if not isinstance(value, torch.Tensor) or value.requires_grad:
        return False
    return value.dtype in (torch.float32, torch.int64, torch.uint8) or value.is_floating_point()


def as_tensor(value: Any, where: str, *, is_target: bool = False) -> Tensor:
    """A tensor from a tensor, an array, a number or a list of numbers.

    Floats and uint8 inputs keep their type; other integers become int64.

    Raises ValueError (one line) for other values.
    """
    import numpy as np

    what = "target" if is_target else "input"
    tensor: Tensor
    if isinstance(value, torch.Tensor) and value.dtype != torch.uint64:
        tensor = value.detach()
    else:
        value = value.numpy() if isinstance(value, torch.Tensor) else value
        if not isinstance(value, np.ndarray | np.generic | numbers.Number | list | tuple):
            raise ValueError(f"{where} has {type_of(value)} as {what}. It must be a tensor, an array or a number.")
        most = value if isinstance(value, int) else 0
        try:
            array = np.array(value)
            if array.dtype.kind == "u" and array.size:
                most = int(array.max())
            if most < 2**63:
                tensor = torch.from_numpy(array.astype(np.float64) if array.dtype == np.longdouble else array)
        except (TypeError, ValueError):
            came = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else type_of(value)
            raise ValueError(f"{where} has {came} as {what}. It must be numeric.") from None
        if most >= 2**63:
            raise ValueError(f"{where} has the integer {most} as {what}. Integers must be less than 2^63; use floats.")
    if tensor.is_complex():
        raise ValueError(f"{where} has complex numbers as {what}. They must be real.")
    if tensor.is_floating_point() or (tensor.dtype == torch.uint8 and not is_target):
        return tensor
    return tensor.float() if tensor.dtype == torch.bool and not is_target else tensor.long()


def repeats(samples: Samples) -> bool:
    """Whether the samples may be kept in memory: two readings (of some samples) are equal, and all fit in half of the
    free memory.
    """
    first = samples[0]
    needed = len(samples) * sum(value.numel() * value.element_size() for value in first)
    if needed > free_bytes("cpu") // 2:
        return False
    n = min(READ_TWICE, len(samples))
    index = [round(i * (len(samples) - 1) / max(n - 1, 1)) for i in range(n)]
    once = [samples[i] for i in index]
    again = [samples[i] for i in index]
    return all(
        _same(a, b) for before, after in zip(once, again, strict=True) for a, b in zip(before, after, strict=True)
    )


def read(samples: Samples) -> tuple[Tensor, Tensor]:
    """All samples as tensors (n, …).

    Raises ValueError with the first sample whose shape or type differs from sample 0.
    """
    first = samples[0]
    kept = tuple(torch.empty((len(samples), *value.shape), dtype=value.dtype) for value in first)
    for i in range(len(samples)):
        for store, value, what in zip(kept, samples[i], ("input", "target"), strict=True):
            if value.shape != store.shape[1:] or value.dtype != store.dtype:
                raise ValueError(
                    f"{samples.where} has {_described(value)} as {what} of sample {i}, but {_described(store[0])} "
                    "of sample 0. All samples must have the same shape and type."
                )
            store[i] = value
    # Python has no float32
    python = (type(value) in (float, list, tuple) for value in samples.source[0])
    inputs, targets = (
        torch.from_numpy(narrowed(values.numpy()))
        if loose and values.dtype == torch.float64 and not samples.double
        else values
        for values, loose in zip(kept, python, strict=True)
    )
    return inputs, targets


def _same(a: Tensor, b: Tensor) -> bool:
    # missing targets are NaN, which is not equal to itself
    return a.shape == b.shape and bool(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)))


def _described(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
