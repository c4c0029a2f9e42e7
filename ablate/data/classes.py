"""Class indices among targets: from 0, without gaps, −100 where there is no class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The class index of samples or pixels without a class: losses and metrics leave them out."""

VOID = 255
"""The value of pixels without a class in many datasets."""

COUNTED = 2**16
"""Class indices up to which it is checked whether each occurs."""

RARE = 10
"""Number of classes per class that occurs from which the indices are likely to be something else."""


def check_classes(targets: Tensor, where: str, *, declared: bool = False) -> None:
    """Raise ValueError (one line) for class indices (n, …) that are negative, start at 1 or have large gaps.

    ``declared``: the number of classes is known, so that some need not occur.
    """
    known = targets[targets != IGNORED].flatten()
    if not len(known):
        return
    lowest, highest = int(known.min()), int(known.max())
    if lowest < 0:
        raise ValueError(
            f"{where} has the class index {lowest}. Class indices must start at 0; use {IGNORED} for samples or pixels "
            "without a class, and floats for regression."
        )
    if declared or highest >= COUNTED:
        return
    there = torch.bincount(known).nonzero()[:, 0].tolist()
    if lowest == 1 and len(there) == highest > 1:
        raise ValueError(f"{where} has the class indices 1 to {highest}. They must start at 0: subtract 1.")
    pixels = targets.dim() > 2
    if len(there) > 1 and (highest >= RARE * len(there) or (pixels and highest == VOID and VOID - 1 not in there)):
        listed = ", ".join(map(str, there if len(there) <= 6 else [*there[:4], "…", there[-1]]))
        void = f"; use {IGNORED} for those without a class" if highest == VOID else ""
        raise ValueError(
            f"{where} has only {len(there)} different class indices ({listed}), but the largest is {highest}. Number "
            f"the classes from 0{void}."
        )


def check_shape(targets: Tensor | None, loss: str) -> None:
    """Raise ValueError (one line) for integers (n, 1) or one-hot rows (n, classes), which a built-in loss does not take
    for class indices.
    """
    if targets is None or targets.is_floating_point() or targets.dim() != 2:
        return
    shape, rule = tuple(targets.shape), f"loss (={loss}) requires class indices (N,), but the targets"
    if shape[1] == 1:
        raise ValueError(f"{rule} are integers of shape {shape}. Remove their second axis: targets[:, 0].")
    if bool(((targets == 0) | (targets == 1)).all()) and bool((targets.sum(1) == 1).all()):
        raise ValueError(f"{rule} are one-hot rows of shape {shape}. Use targets.argmax(1).")
