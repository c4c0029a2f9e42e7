"""Samples of any map-style dataset as pairs of tensors, and whether they can be read once and kept."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ablate.data.keypoints import as_coordinates
from ablate.data.memory import free_bytes
from ablate.data.rounding import narrowed
from ablate.recipe.settings import BatchForm
from ablate.registry.described import type_of
from ablate.registry.lazy import torch
from ablate.trees import Tree, children_of, described, pick, rebuilt, tensors, tree_map

if TYPE_CHECKING:
    from torch import Tensor

READ_TWICE = 64
"""Number of samples compared between two readings: a random change with probability 0.1 is missed once in 300,000
times.
"""


class Samples:
    """A map-style dataset with (input, target) tensors: numbers and arrays are converted; a single float target becomes
    (1,). ``double``: Python's floats stay float64; ``are_points``: targets are keypoints.

    With a ``form``, the parts of a sample are those that it names, and may be nests.
    """

    def __init__(
        self, source: Any, where: str, *, double: bool = False, are_points: bool = False, form: BatchForm | None = None
    ) -> None:
        self.source, self.where, self.double, self.are_points = source, where, double, are_points
        self.form = form or BatchForm()
        self.named = self.form.inputs is not None or self.form.targets is not None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tree, Tree]:
        return self.converted(self.source[index], index)

    def converted(self, sample: Any, index: int) -> tuple[Tree, Tree]:
        """A sample of the source as tensors; ``index`` is its number in errors."""
        if self.named or not (isinstance(sample, tuple | list) and len(sample) == 2):
            sample = parts_of(sample, self.form, f"{self.where} sample {index}")
        inputs, target = sample
        # building the error text costs more than most samples: only do it if something has to be converted
        if not _is_ready(inputs):
            inputs = as_nest(inputs, f"{self.where} sample {index}", self.form)
        if not _is_ready(target) or target.dtype == torch.uint8:
            target = as_nest(target, f"{self.where} sample {index}", self.form, is_target=True)
        if not isinstance(target, torch.Tensor):
            return inputs, target
        if self.are_points:
            return inputs, as_coordinates(target, 0)
        return inputs, target.unsqueeze(0) if target.dim() == 0 and target.is_floating_point() else target


class Collated:
    """A map-style dataset whose batches are made by the user's function: ``collate`` of a list of samples."""

    def __init__(self, source: Any, where: str, form: BatchForm, function: Callable[..., Any]) -> None:
        self.source, self.where, self.form, self.function = source, where, form, function

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        return self.source[index]

    def collate(self, samples: list[Any]) -> tuple[Tree, Tree]:
        """A batch of inputs and targets. Raises ValueError (one line) if its tensors do not have a sample each."""
        where = f"{self.where}: batch.collate"
        parts = parts_of(self.function(samples), self.form, where)
        batch = as_nest(parts[0], where, self.form), as_nest(parts[1], where, self.form, is_target=True)
        for values in tensors(batch):
            if values.dim() == 0 or len(values) != len(samples):
                raise ValueError(
                    f"{where} returned a tensor of shape {tuple(values.shape)} for {len(samples)} samples. The first "
                    "axis of every tensor must be the samples."
                )
        return batch


def parts_of(sample: Any, form: BatchForm, where: str) -> tuple[Any, Any]:
    """The inputs and the targets of a sample or batch."""
    pair = sample if isinstance(sample, tuple | list) and len(sample) == 2 else None
    found = []
    for name, place in (("inputs", form.inputs), ("targets", form.targets)):
        if place is None and pair is None:
            raise ValueError(
                f"{where} is {described(sample)}. It must be (input, target), or batch.{name} must name a part of it."
            )
        what = f"{where}: batch.{name}"
        if place is None:
            assert pair is not None
            found.append(pair[name == "targets"])
        elif not isinstance(place, tuple):
            found.append(pick(sample, place, what))
        elif all(isinstance(one, int) for one in place):
            found.append(tuple(pick(sample, one, what) for one in place))
        else:
            found.append({str(one): pick(sample, one, what) for one in place})
    return found[0], found[1]


def as_nest(value: Any, where: str, form: BatchForm, *, is_target: bool = False) -> Tree:
    """Numbers and arrays as tensors. A list or tuple is a nest if the form says that there are several, else one
    tensor.
    """
    children = children_of(value)
    several = form.call == "unpack" or isinstance(form.targets if is_target else form.inputs, tuple)
    plain = isinstance(value, list | tuple) and not hasattr(value, "_fields")
    if children is None or (plain and (not several or all(isinstance(one, numbers.Number) for one in value))):
        return as_tensor(value, where, is_target=is_target)
    return rebuilt(value, {k: as_nest(one, where, form, is_target=is_target) for k, one in children.items()})


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
    needed = len(samples) * sum(value.numel() * value.element_size() for value in tensors(first))
    if needed > free_bytes("cpu") // 2:
        return False
    n = min(READ_TWICE, len(samples))
    index = [round(i * (len(samples) - 1) / max(n - 1, 1)) for i in range(n)]
    once = [samples[i] for i in index]
    again = [samples[i] for i in index]
    return all(map(same_samples, once, again))


def same_samples(one: Tree, other: Tree) -> bool:
    """Whether two samples have equal tensors."""
    a, b = list(tensors(one)), list(tensors(other))
    return len(a) == len(b) and all(map(_same, a, b))


def read(samples: Samples) -> tuple[Tree, Tree]:
    """All samples as tensors (n, …).

    Raises ValueError with the first sample whose shape or type differs from sample 0.
    """
    first = samples[0]
    kept = tree_map(lambda value: torch.empty((len(samples), *value.shape), dtype=value.dtype), first)
    stores, at = list(tensors(kept)), len(list(tensors(kept[0])))
    for i in range(len(samples)):
        values = list(tensors(samples[i]))
        if len(values) != len(stores):
            raise ValueError(
                f"{samples.where} has {len(values)} tensors in sample {i}, but {len(stores)} in sample 0. All samples "
                "must have the same form."
            )
        for place, (store, value) in enumerate(zip(stores, values, strict=True)):
            if value.shape != store.shape[1:] or value.dtype != store.dtype:
                what = "input" if place < at else "target"
                raise ValueError(
                    f"{samples.where} has {_described(value)} as {what} of sample {i}, but {_described(store[0])} "
                    f"of sample 0. All samples must have the same shape and type, or be collated (batch.collate)."
                )
            store[i] = value
    if not all(isinstance(half, torch.Tensor) for half in kept) or samples.named:
        return kept[0], kept[1]
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
