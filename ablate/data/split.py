"""Splits into training, validation and test set, and folds."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablate.data.cache import cached
from ablate.data.dataset import Part, Parts
from ablate.recipe.folds import Folds
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


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = LazyModule("numpy")


@dataclass(frozen=True)
class Fold:
    """Fold ``number``, from 0, of ``folds``."""

    folds: Folds
    number: int


def fold_of(fold: Fold, seed: int, targets: Tensor, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Positions (int64) of the training and validation samples, given their ``targets`` (n, …) and ``groups`` (n,).

    Uses scikit-learn's splitters: stratified if the targets are class indices (n,), unless ``folds.stratified`` is
    false; groups are never split. Every sample is in the validation set of one fold. Raises ValueError (one line) if
    there are fewer samples, groups or members of a class than folds, or no classes to stratify by.
    """
    k, n = fold.folds.k, len(targets)
    classes = targets.dim() == 1 and not targets.is_floating_point()
    if fold.folds.stratified and not classes:
        raise ValueError("folds.stratified (=true) requires class targets. Remove it.")
    stratified = classes and fold.folds.stratified is not False
    units, what = (n, "samples") if groups is None else (len(torch.unique(groups)), "groups")
    if units < k:
        raise ValueError(f"folds.k (={k}) must be at most the number of {what} ({units}). Use fewer folds.")
    if stratified and (most := int(torch.unique(targets, return_counts=True)[1].max())) < k:
        raise ValueError(f"folds.k (={k}) must be at most the size of the largest class ({most}). Use fewer folds.")
    names = f"folds-{digest(targets, groups)}", f"{k} {stratified} {seed}"
    numbers = cached(*names, lambda: {"fold": numbered(k, stratified, seed, targets, groups)})["fold"]
    valid = torch.from_numpy(numbers == fold.number)
    return (~valid).nonzero()[:, 0], valid.nonzero()[:, 0]


def numbered(k: int, stratified: bool, seed: int, targets: Tensor, groups: Tensor | None) -> NDArray[np.int64]:
    """The fold in which each sample is for validation, (n,). Cached, because importing scikit-learn takes a second."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    kinds = {
        (False, False): KFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }
    splitter = kinds[stratified, groups is not None](n_splits=k, shuffle=True, random_state=seed)
    numbers, nothing = np.full(len(targets), -1), np.zeros(len(targets))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # if a class has fewer members than there are folds, some folds do not contain it
        given = targets.numpy() if stratified else nothing, None if groups is None else groups.numpy()
        for number, (_, valid) in enumerate(splitter.split(nothing, *given)):
            numbers[valid] = number
    return numbers


def digest(*tensors: Tensor | None) -> str:
    """A short hash of the contents of tensors."""
    known = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        known.update(b"none" if tensor is None else tensor.contiguous().numpy().tobytes())
    return known.hexdigest()


def in_fold(parts: Parts, fold: Fold, seed: int, where: str) -> Parts:
    """One fold of data that come as training and validation sets; the test set does not change.

    Raises ValueError if they are streamed.
    """
    train, valid = parts.train, parts.valid
    if train.targets is None or train.inputs is None or valid.targets is None or valid.inputs is None:
        raise ValueError(
            f"{where} is streamed and cannot be split into folds. Accept the arguments 'fold' and 'folds', and "
            "return the data of that fold."
        )
    together = Part(torch.cat([train.inputs, valid.inputs]), torch.cat([train.targets, valid.targets]))
    train_at, valid_at = fold_of(fold, seed, together.targets)  # type: ignore[arg-type]
    rows = torch.arange(len(together))
    together = replace(together, rows=rows)
    counts = {"train": len(train_at), "valid": len(valid_at), "fold": fold.number}
    return replace(parts, train=together.take(train_at), valid=together.take(valid_at), notes={**parts.notes, **counts})
