"""Split samples into training, validation and test sets by their number, groups and a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = LazyModule("numpy")

LIMIT = 0x5A5A5A5A
"""Makes the random order of a limit different from that of the split, for the same seed."""


def split(
    n: int, *, valid: float, test: float, seed: int, groups: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (int64) of the training, validation and test samples among ``n``, each in shuffled order.

    The order is that of ``sklearn.utils.shuffle(random_state=seed)``: the first ``round(valid * n)`` samples are for
    validation, the next ``round(test * n)`` for testing, the rest for training. With ``groups`` (n,), a group is never
    split, and the sizes are as close to these numbers as the groups allow.

    Raises ValueError (one line) if a set would be empty.
    """
    order = np.arange(n)
    np.random.RandomState(seed).shuffle(order)
    wanted = [round(valid * n), round(test * n)]
    parts = np.split(order, np.cumsum(wanted)) if groups is None else _by_group(order, groups.numpy(), wanted, seed)
    valid_part, test_part, train_part = parts
    what = (
        f"{n} samples"
        if groups is None
        else f"{len(torch.unique(groups))} group{'' if len(torch.unique(groups)) == 1 else 's'} of {n} samples"
    )
    if not len(valid_part):
        raise ValueError(
            f"data.valid (={valid:g}) leaves no samples for validation ({what} in total). Increase it, or use "
            "more data."
        )
    if test and not len(test_part):
        raise ValueError(
            f"data.test (={test:g}) leaves no samples for testing ({what} in total). Increase it, or use more data."
        )
    if not len(train_part):
        raise ValueError(
            f"data.valid (={valid:g}) + data.test (={test:g}) leave no samples for training ({what} in total). "
            "Decrease them."
        )
    train_index, valid_index, test_index = (
        torch.from_numpy(part.copy()) for part in (train_part, valid_part, test_part)
    )
    return train_index, valid_index, test_index


def drawn(n: int, limit: int, seed: int) -> Tensor:
    """Positions (int64) of ``limit`` of ``n`` samples, in ascending order; a larger limit includes the samples of a
    smaller one.
    """
    # not the order of `split`: a limit should not select the validation samples
    return torch.from_numpy(np.sort(np.random.RandomState(seed ^ LIMIT).permutation(n)[:limit]))


def _by_group(
    order: NDArray[np.int64], groups: NDArray[np.int64], wanted: list[int], seed: int
) -> list[NDArray[np.int64]]:
    """The validation, test and training positions of a grouped split."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = np.random.RandomState(seed).permutation(len(sizes))
    free = len(wanted)
    part_of_group = np.full(len(sizes), free)
    for part, want in enumerate(wanted):
        have = 0
        for number in shuffled[part_of_group[shuffled] == free]:
            if abs(have + sizes[number] - want) < abs(have - want):
                part_of_group[number] = part
                have += sizes[number]
        waiting = shuffled[part_of_group[shuffled] == free]
        if want and not have and len(waiting):
            # every group is larger than twice the fraction: the smallest is closest without leaving the set empty
            part_of_group[waiting[sizes[waiting].argmin()]] = part
    part_of_sample = part_of_group[group][order]
    return [order[part_of_sample == part] for part in range(len(wanted) + 1)]
