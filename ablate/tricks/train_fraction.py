"""A part of the training data, for learning curves."""

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
        "Trains on a share of the training part only.",
        source="Cortes et al. 1994, Learning Curves: Asymptotic Values and Rate of Convergence",
        helps="Learning curves: whether more data would help, and how much.",
        costs="Fewer samples also means fewer steps per epoch: give small shares more epochs, or compare at equal steps.",
        interacts="Comes after label_noise, so that a sample's label is the same at every share; means and weights count what is left.",
    ),
)
class TrainFraction(Trick):
    """``round(share · n)`` samples of the training part; the valid and test parts stay whole.

    All shares with one ``seed`` are beginnings of one order, so 10 % is part of 20 %; the run's own seed does not matter.
    With class numbers each beginning has the classes in their proportions, as near as whole samples allow.
    """

    stacked = True
    shorthand = "share"
    order = 12

    share: Annotated[float, Range(gt=0, le=1)] = Field(default=0.1, description="share of the training part to keep")
    seed: int = Field(
        default=42, ge=0, description="decides which samples, for all runs alike, as the data's split_seed"
    )

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where no sample would be left, `NoEffect` where all would."""
        n = len(data.train)
        count = round(self.share * n)
        if count == 0:
            raise ValueError(
                f"train_fraction.share (={self.share:g}) leaves no sample of {n} to train. Raise it, or bring more data."
            )
        if count == n:
            raise NoEffect(f"train_fraction changes nothing: a share of {self.share:g} keeps all {n} samples.")
        targets = data.train.targets
        classes = targets if targets is not None and targets.dim() == 1 and not targets.is_floating_point() else None
        kept = nested_order(n, self.seed, classes)[:count].sort().values
        return replace(data.with_train(subset(data.train, kept)), notes={**data.notes, "train": count})


def nested_order(n: int, seed: int, classes: Tensor | None = None) -> Tensor:
    """An order of n samples, int64; with class numbers (n,) every beginning of it has the classes in the proportions of all."""
    order = torch.randperm(n, generator=generator(seed, "train_fraction"))
    if classes is None:
        return order
    place = torch.empty(n, dtype=torch.float64)
    shuffled = classes[order]
    for number in torch.unique(shuffled):
        members = (shuffled == number).nonzero()[:, 0]
        # the k-th of m samples belongs at (k + 1/2)/m of the way
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
