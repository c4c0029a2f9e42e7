"""Wrong labels, on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.rng.noise import generator
from ablate.tricks.shared.soft_targets import check_classes
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Parts, Spec


@register(
    "trick",
    "label_noise",
    card=Card(
        "Gives a share of the training samples a wrong class.",
        source="Zhang et al. 2017, Understanding deep learning requires rethinking generalization",
        helps="What wrong labels cost, against fewer but right ones: cross it with train_fraction.",
        costs="Nothing is better with it.",
        interacts="Comes before train_fraction, so that a sample's label is the same at every share. The valid and test parts stay right.",
    ),
)
class LabelNoise(Trick):
    """Exactly ``round(share · n)`` training samples get one of the other classes, each as likely.

    With one ``seed`` a larger share keeps the wrong labels of a smaller one and adds to them; the run's own seed does not matter.
    """

    stacked = True
    shorthand = "share"
    order = 10

    share: Annotated[float, Range(gt=0, le=1)] = Field(default=0.2, description="share of wrong labels")
    seed: int = Field(
        default=42, ge=0, description="decides which samples, for all runs alike, as the data's split_seed"
    )

    def check(self, spec: Spec) -> None:
        check_classes("label_noise", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where targets are no class numbers in memory, `NoEffect` where no label would be wrong."""
        targets = data.train.targets
        if targets is None or targets.is_floating_point() or targets.dim() != 1:
            what = "are streamed" if targets is None else f"are {targets.dtype} of shape {tuple(targets.shape[1:])}"
            raise ValueError(
                f"trick (=label_noise) needs one class number for each sample, in memory; the train part's targets {what}. Drop it."
            )
        count = round(self.share * len(targets))
        if count == 0 or data.spec.outputs < 2:
            raise NoEffect(
                f"label_noise changes nothing: a share of {self.share:g} of {len(targets)} samples in {data.spec.outputs} classes is none."
            )
        return data.with_train(replace(data.train, targets=wrong(targets, data.spec.outputs, count, self.seed)))


def wrong(targets: Tensor, classes: int, count: int, seed: int) -> Tensor:
    """Class numbers (n,) of which ``count`` are another class, as a new tensor."""
    draw = generator(seed, "label_noise")
    chosen = torch.randperm(len(targets), generator=draw)[:count]
    # drawn for all, so that a sample's wrong class does not depend on how many are wrong
    steps = torch.randint(1, classes, (len(targets),), generator=draw)
    out = targets.clone()
    out[chosen] = (targets[chosen] + steps[chosen]) % classes
    return out
