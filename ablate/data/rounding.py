"""Numbers whose differences are lost in float32, such as times in seconds since 1970, which it rounds to 128 s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Part, Parts
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

PAIRS, VALUES = 4096, 2**22
"""Maximum number of pairs of samples that are compared, and of values."""

LOST = 0.01
"""Fraction of the pairs with different values that may become equal: a column then has about 100 values or fewer."""

NOISE = 2.0**-44
"""Relative difference of two float64 numbers that can be a rounding error, as in 0.1 + 0.2 and 0.3."""


def unrounded(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers as float32 if that holds all of their type, else as float64."""
    exact = values.dtype.itemsize <= 2 or values.dtype == np.float32
    return values.astype(np.float32 if exact else np.float64, copy=False)


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers (n, …) as float32; as float64 if float32 loses the differences of a column, until a trick scales them."""
    wide = unrounded(values)
    if wide.dtype == np.float32 or len(lost(wide)):
        return wide
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def lost(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The columns of (n, …), flattened, in which float32 makes different values equal, in random pairs of samples."""
    if not values.size:
        return np.zeros(0, np.int64)
    columns = values.reshape(len(values), -1)
    pairs = min(PAIRS, max(VALUES // columns.shape[1], 1))
    # files are often sorted, so neighbors differ less than other pairs
    rows = np.random.default_rng(0).integers(len(columns), size=(2, pairs))
    first, second = columns[rows[0]], columns[rows[1]]
    with np.errstate(over="ignore", invalid="ignore"):
        differ = np.abs(first - second) > NOISE * np.maximum(np.abs(first), np.abs(second))
        equal = differ & (first.astype(np.float32) == second.astype(np.float32))
    return np.flatnonzero(equal.sum(0) > LOST * differ.sum(0))


def check_inputs(data: Parts, dtype: torch.dtype) -> None:
    """Raise ValueError (one line) if the network would get inputs whose differences are lost."""
    fix = "Add the trick standardise, subtract a constant"
    if data.spec.input_form is not None:
        return
    _check([part.inputs for part in _parts(data)], dtype, "data.inputs", data.spec.input_names, fix)


def check_targets(data: Parts, dtype: torch.dtype) -> None:
    """Raise ValueError (one line) if the targets' differences are lost in their original unit, in which metrics are
    computed.
    """
    fix = "Subtract a constant, use another unit"
    if data.spec.target_form is not None:
        return
    _check([part.targets for part in _parts(data)], dtype, "data.target", data.spec.target_names, fix)


def _parts(data: Parts) -> list[Part]:
    return [part for part in (data.train, data.valid, data.test) if part is not None]


def _check(
    splits: Sequence[torch.Tensor | None], dtype: torch.dtype, field: str, names: tuple[str, ...], fix: str
) -> None:
    if dtype == torch.float64:
        return
    for values in splits:
        if values is None or values.dtype != torch.float64 or not len(columns := lost(values.numpy())):
            continue
        column = int(columns[0])
        numbers = values.reshape(len(values), -1)[:, column]
        low, high = (float(end) for end in torch.aminmax(numbers[numbers.isfinite()]))
        what = names[column] if column < len(names) else f"column {column + 1}"
        raise ValueError(
            f"{field} (={what}) has different values from {low:.12g} to {high:.12g} that become equal in float32. "
            f"{fix}, or use 'precision: float64'."
        )
