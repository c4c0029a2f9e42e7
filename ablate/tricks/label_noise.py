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
        "Assigns wrong labels to a fraction of the training samples.",
        source="Zhang et al. 2017, Understanding deep learning requires rethinking generalization",
        helps=(
            "To measure the effect of wrong labels compared with fewer correct ones: combine it with train_fraction "
            "in a grid."
        ),
        costs="No benefit; for experiments only.",
        interacts=(
            "Applied before train_fraction, so a sample's label is the same for every fraction. The validation and "
            "test sets do not change."
        ),
    ),
)
class LabelNoise(Trick):
    """Exactly ``round(share · n)`` training samples get one of the other classes, drawn uniformly.

    For the same ``seed``, a larger share includes the wrong labels of a smaller one. The run's seed has no effect.
    """

    stacked = True
    any_inputs = True
    shorthand = "share"
    order = 10
    examples = ({}, {"share": 0.5, "seed": 1})
    example_needs = "classes"

    share: Annotated[float, Range(gt=0, le=1)] = Field(default=0.2, description="fraction of wrong labels")
    seed: int = Field(
        default=42, ge=0, description="seed of the selection, which is the same in all runs (as data.split_seed)"
    )

    def check(self, spec: Spec) -> None:
        check_classes("label_noise", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if targets are not class indices in memory, `NoEffect` if no label would be wrong.

        Raises ValueError, too, if a share below 1 is rounded to all labels.
        """
        targets = data.train.targets
        if targets is None or targets.is_floating_point() or targets.dim() != 1:
            what = "are streamed" if targets is None else f"are {targets.dtype} of shape {tuple(targets.shape[1:])}"
            raise ValueError(
                "trick (=label_noise) requires one class index per sample, in memory, but the training targets "
                f"{what}. Remove it."
            )
        count = round(self.share * len(targets))
        if count == 0 or data.spec.outputs < 2:
            raise NoEffect(
                f"label_noise has no effect: label_noise.share (={self.share:g}) of {len(targets)} samples in "
                f"{data.spec.outputs} classes changes no label."
            )
        if count == len(targets) and self.share < 1:
            raise ValueError(
                f"label_noise.share (={self.share:g}) is rounded to all {len(targets)} labels. At least one label must "
                "stay correct. Set it to 1, or use more data."
            )
        return data.with_train(replace(data.train, targets=wrong(targets, data.spec.outputs, count, self.seed)))


def wrong(targets: Tensor, classes: int, count: int, seed: int) -> Tensor:
    """Class indices (n,) with ``count`` of them replaced by another class, as a new tensor."""
    draw = generator(seed, "label_noise")
    chosen = torch.randperm(len(targets), generator=draw)[:count]
    # drawn for all samples, so that a sample's wrong class does not depend on the number of wrong labels
    steps = torch.randint(1, classes, (len(targets),), generator=draw)
    out = targets.clone()
    out[chosen] = (targets[chosen] + steps[chosen]) % classes
    return out
