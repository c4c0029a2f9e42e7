"""Train on a fraction of the data, for learning curves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.rng.noise import generator
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Part, Parts


@register(
    "trick",
    "train_fraction",
    card=Card(
        "Trains on a fraction of the training set.",
        source="Cortes et al. 1994, Learning Curves: Asymptotic Values and Rate of Convergence",
        helps="For learning curves: whether more data would help, and how much.",
        costs=(
            "Fewer samples also mean fewer steps per epoch: use more epochs for small fractions, or compare at equal "
            "steps."
        ),
        interacts=(
            "Applied after label_noise, so a sample's label is the same for every fraction. Statistics such as means "
            "and class weights use the remaining samples."
        ),
    ),
)
class TrainFraction(Trick):
    """Keeps ``round(share · n)`` samples of the training set; the validation and test sets do not change.

    For the same ``seed``, larger fractions include smaller ones: 10% is part of 20%. The run's seed has no effect. With
    class indices, each fraction is stratified as closely as whole samples allow.
    """

    stacked = True
    any_inputs = True
    shorthand = "share"
    order = 12
    examples = ({"share": 0.5}, {"share": 0.75, "seed": 1})

    share: Annotated[float, Range(gt=0, le=1)] = Field(default=0.1, description="fraction of the training set to keep")
    seed: int = Field(
        default=42, ge=0, description="seed of the selection, which is the same in all runs (as data.split_seed)"
    )

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if no sample would be left, `NoEffect` if all would."""
        n = len(data.train)
        count = round(self.share * n)
        if count == 0:
            raise ValueError(
                f"train_fraction.share (={self.share:g}) leaves no training samples ({n} in total). Increase it, or "
                "use more data."
            )
        if count == n:
            raise NoEffect(
                f"train_fraction has no effect: train_fraction.share (={self.share:g}) keeps all {n} samples."
            )
        targets = data.train.targets
        classes = targets if targets is not None and targets.dim() == 1 and not targets.is_floating_point() else None
        kept = nested_order(n, self.seed, classes)[:count].sort().values
        return replace(data.with_train(subset(data.train, kept)), notes={**data.notes, "train": count})


def nested_order(n: int, seed: int, classes: Tensor | None = None) -> Tensor:
    """An order of n samples, int64. With class indices (n,), each prefix has the class proportions of the whole set."""
    order = torch.randperm(n, generator=generator(seed, "train_fraction"))
    if classes is None:
        return order
    place = torch.empty(n, dtype=torch.float64)
    shuffled = classes[order]
    for number in torch.unique(shuffled):
        members = (shuffled == number).nonzero()[:, 0]
        # sample k of the m samples of a class is placed at (k + 1/2)/m of the order
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[place.argsort(stable=True)]


def subset(part: Part, index: Tensor) -> Part:
    """The samples at ``index``, in memory or streamed."""
    if part.inputs is not None:
        return part.take(index)
    assert part.dataset is not None
    return replace(
        part,
        dataset=torch.utils.data.Subset(part.dataset, index.tolist()),
        rows=None if part.rows is None else part.rows[index],
        groups=None if part.groups is None else part.groups[index],
    )
