"""Class indices among targets: from 0, without large gaps, −100 where there is no class; not numbers to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = LazyModule("numpy")

IGNORED = -100
"""The class index of samples or pixels without a class: losses and metrics leave them out."""

VOID = 255
"""The value of pixels without a class in many datasets."""

FEW = 20
"""Number of classes that is never too large for the samples."""

MANY, PER_CLASS = 1000, 10
"""Beyond ``MANY`` classes, at least one in ``PER_CLASS`` must have a sample."""

MOST = 2**20
"""Largest number of classes if every sample has several targets, such as the pixels of a mask."""


def check_classes(values: NDArray[Any], samples: int, where: str, *, single: bool, declared: bool = False) -> None:
    """Raise ValueError (one line) for class indices that are negative, start at 1, have large gaps, or are more likely
    numbers to predict.

    ``values`` are those of all ``samples``, of any shape and integer type; ``single``: one per sample. ``declared``:
    the number of classes is known, so that some need not occur.
    """
    there = np.unique(values)
    there = there[there != IGNORED]
    if not there.size:
        return
    lowest, highest = int(there[0]), int(there[-1])
    if lowest < 0:
        raise ValueError(
            f"{where} has the class index {lowest}. Class indices must start at 0; use {IGNORED} for samples or pixels "
            "without a class, and floats for regression."
        )
    if declared:
        return
    if highest >= (max(MANY, PER_CLASS * len(there)) if single else MOST):
        raise ValueError(
            f"{where} has integers from {lowest} to {highest}, which would be {highest + 1} classes for {samples} "
            "samples. For classification, number k classes from 0 to k-1; for regression, use floats."
        )
    if single:
        check_class_count(len(there), samples, where, "use floats")
    if lowest == 1 and len(there) == highest > 1:
        raise ValueError(f"{where} has the class indices 1 to {highest}. They must start at 0: subtract 1.")
    alone = highest == VOID and (len(there) < 2 or there[-2] < VOID - 1)
    if not single and len(there) > 1 and (highest >= PER_CLASS * len(there) or alone):
        listed = ", ".join(map(str, there if len(there) <= 6 else [*there[:4], "…", there[-1]]))
        void = f"; use {IGNORED} where there is no class" if highest == VOID else ""
        raise ValueError(
            f"{where} has only {len(there)} different class indices ({listed}), but the largest is {highest}. Number "
            f"the classes from 0{void}."
        )


def check_class_count(classes: int, samples: int, where: str, regression: str) -> None:
    """Raise ValueError (one line) if the average class has less than two samples."""
    if classes > FEW and 2 * classes > samples:
        raise ValueError(
            f"{where} has {classes} classes for {samples} samples, but must have at least two samples per class on "
            f"average. For regression, {regression}."
        )


def check_shape(targets: Tensor | None, loss: str) -> None:
    """Raise ValueError (one line) for integers (n, 1) or one-hot rows (n, classes), which a built-in loss does not take
    for class indices.
    """
    if targets is None or targets.is_floating_point() or targets.dim() != 2:
        return
    shape, rule = tuple(targets.shape), f"loss (={loss}) requires class indices of shape (N,), but the targets"
    if shape[1] == 1:
        raise ValueError(f"{rule} are integers of shape {shape}. Remove their second axis: targets[:, 0].")
    if bool(((targets == 0) | (targets == 1)).all()) and bool((targets.sum(1) == 1).all()):
        raise ValueError(f"{rule} are one-hot rows of shape {shape}. Use targets.argmax(1).")
