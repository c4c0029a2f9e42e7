"""Whether integer targets are classes, or numbers to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

FEW = 20
"""Number of classes that is never too large for the samples."""

MANY, PER_CLASS = 1000, 10
"""Beyond ``MANY`` classes, at least one in ``PER_CLASS`` must have a sample."""

MOST = 2**20
"""Largest number of classes where every sample has several targets, such as the pixels of a mask."""


def distinct(labels: NDArray[Any]) -> NDArray[Any]:
    """The distinct labels of (n,) in ascending order; of (n, …) the smallest and the largest."""
    if labels.ndim == 1 or not labels.size:
        return np.unique(labels)
    return np.array([labels.min(), labels.max()])


def check_labels(labels: NDArray[Any], samples: int, where: str, *, single: bool) -> None:
    """Raise ValueError (one line) if `distinct` labels are more likely numbers to predict than classes 0 … k-1.

    ``where`` names the targets; ``single``: one label per sample.
    """
    low, high = int(labels[0]), int(labels[-1])
    most = max(MANY, PER_CLASS * len(labels)) if single else MOST
    if high >= most:
        raise ValueError(
            f"{where} are integers from {low} to {high}, which would be {high + 1} classes for {samples} samples. For "
            "classification, use 0 … k-1 for k classes; for regression, use floats."
        )
    if single:
        check_class_count(len(labels), samples, where, "use floats")


def check_class_count(classes: int, samples: int, where: str, regression: str) -> None:
    """Raise ValueError (one line) if the average class has less than two samples."""
    if classes > FEW and 2 * classes > samples:
        raise ValueError(
            f"{where} would be {classes} classes for {samples} samples, but each class needs several samples. For "
            f"regression, {regression}."
        )
