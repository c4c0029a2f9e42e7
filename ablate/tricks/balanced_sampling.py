"""Sample all classes equally often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.shared.soft_targets import check_classes
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Parts, Spec
    from ablate.recipe.settings import Settings
    from ablate.rng.noise import Noise


@register(
    "trick",
    "balanced_sampling",
    card=Card(
        "Samples all classes equally often: oversamples rare and undersamples frequent classes.",
        source="Buda, Maki and Mazurowski 2018 (over- and undersampling); torch.utils.data.WeightedRandomSampler",
        helps="When classes are imbalanced but equally important: every batch contains all classes.",
        costs=(
            "Rare samples may be memorized, because they are repeated; some frequent samples are skipped in each epoch."
        ),
        interacts=(
            "The length of an epoch does not change. Do not combine with class_weights, which would count rare "
            "classes twice. Compare a metric such as f1."
        ),
    ),
)
class BalancedSampling(Trick):
    """In an epoch of n samples, each of the C classes appears n/C times.

    ``exact``: each class appears ⌊n/C⌋ or ⌈n/C⌉ times, and no sample is repeated before all samples of its class were
    used. ``drawn``: each position draws a class uniformly, then a sample of this class, with replacement. The order is
    new in every epoch. Samples without a class (negative class indices) are never used.
    """

    stacked = True
    any_inputs = True
    shorthand = "how"
    examples = ({}, {"how": "drawn"})
    example_needs = "classes"

    how: Literal["exact", "drawn"] = Field(
        default="exact",
        description="exact: equal counts per class; drawn: equal in expectation, sampled with replacement",
    )

    _members: list[Tensor] = PrivateAttr(default_factory=list)

    def check(self, spec: Spec) -> None:
        """Raises ValueError if targets are not classes."""
        check_classes("balanced_sampling", spec)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if the order is fixed."""
        if not settings.shuffle:
            raise ValueError(
                "trick (=balanced_sampling) chooses the order of the samples, but shuffle is false. Set shuffle: true."
            )
        return settings

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if the training set is streamed or has no class indices, `NoEffect` if the classes are
        balanced.
        """
        targets = data.train.targets
        if targets is None or targets.is_floating_point() or targets.dim() != 1:
            what = "are streamed" if targets is None else "are not one class index per sample"
            raise ValueError(
                f"trick (=balanced_sampling) requires class indices in memory, but the training targets {what}. "
                "Remove it."
            )
        sizes = torch.bincount(targets[targets >= 0])
        sizes = sizes[sizes > 0]
        if self.how == "exact" and int(sizes.min()) == int(sizes.max()) and int(sizes.sum()) == len(targets):
            raise NoEffect("balanced_sampling has no effect: all classes have the same number of samples.")
        return data

    def on_order(self, order: Tensor, targets: Tensor | None, noise: Noise) -> Tensor:
        if not self._members:
            assert targets is not None, "on_data comes before on_order"
            known = targets.cpu()
            self._members = [torch.nonzero(known == c).flatten() for c in torch.unique(known[known >= 0])]
        return (exact if self.how == "exact" else drawn)(self._members, order.shape[-1], noise)


def exact(members: list[Tensor], n: int, noise: Noise) -> Tensor:
    """An order (n,), in a stack (R, n), with equal counts per class; n mod C random classes appear once more."""
    each, more = divmod(n, len(members))
    picks, spare = [], []
    for own in members:
        rounds = [own[noise.permutation(len(own))] for _ in range(-(-(each + 1) // len(own)))]
        turns = torch.cat(rounds, dim=-1)
        picks.append(turns[..., :each])
        spare.append(turns[..., each])
    lucky = noise.permutation(len(members))[..., :more]
    chosen = torch.cat([*picks, torch.stack(spare, dim=-1).gather(-1, lucky)], dim=-1)
    return chosen.gather(-1, noise.permutation(n))


def drawn(members: list[Tensor], n: int, noise: Noise) -> Tensor:
    """An order (n,), in a stack (R, n).

    Each position draws a class uniformly, then one of its samples, with replacement.
    """
    classes = noise.integers(0, len(members), n)
    sizes = torch.tensor([len(own) for own in members])
    starts = sizes.cumsum(0) - sizes
    # float64: a float32 times a size may round up to the size
    place = (noise.uniform(n).double() * sizes[classes]).long()
    return torch.cat(members)[starts[classes] + place]
