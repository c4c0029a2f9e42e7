"""Every class equally often in an epoch, whatever its share of the data."""

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
        "Shows every class equally often: rare ones repeatedly, frequent ones in part.",
        source="Buda, Maki and Mazurowski 2018 (over- and undersampling); torch.utils.data.WeightedRandomSampler",
        helps="Classes of unlike size that matter alike: every batch has some of each.",
        costs="Rare samples are seen so often that they may be learnt by heart; frequent ones are partly left out of an epoch.",
        interacts="An epoch keeps its length. Instead of class_weights, not with it: together they count rare classes twice. Judge by a metric such as f1.",
    ),
)
class BalancedSampling(Trick):
    """An epoch of n samples from C classes has n/C of each.

    ``exact``: ⌊n/C⌋ or ⌈n/C⌉ of each class, which takes all its samples in turn before any comes again. ``drawn``: each place in the order draws a class,
    all alike, then a sample of it, with replacement. New in every epoch. Samples without a class (negative numbers) are never shown.
    """

    stacked = True
    shorthand = "how"

    how: Literal["exact", "drawn"] = Field(
        default="exact", description="exact: the same count of each class; drawn: in expectation, with replacement"
    )

    _members: list[Tensor] = PrivateAttr(default_factory=list)

    def check(self, spec: Spec) -> None:
        """Raises ValueError where targets are no classes."""
        check_classes("balanced_sampling", spec)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError where the order is to stay as it is."""
        if not settings.shuffle:
            raise ValueError("trick (=balanced_sampling) makes an order of its own. Set shuffle: true.")
        return settings

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where the training part is streamed or has no class number per sample, `NoEffect` where classes are equal already."""
        targets = data.train.targets
        if targets is None or targets.is_floating_point() or targets.dim() != 1:
            what = "are streamed" if targets is None else "are not one class number per sample"
            raise ValueError(
                f"trick (=balanced_sampling) needs class numbers in memory; the train part's targets {what}. Remove it."
            )
        sizes = torch.bincount(targets[targets >= 0])
        sizes = sizes[sizes > 0]
        if self.how == "exact" and int(sizes.min()) == int(sizes.max()) and int(sizes.sum()) == len(targets):
            raise NoEffect("balanced_sampling changes nothing: every class has as many samples as any other.")
        return data

    def on_order(self, order: Tensor, targets: Tensor | None, noise: Noise) -> Tensor:
        if not self._members:
            assert targets is not None, "on_data comes before on_order"
            known = targets.cpu()
            self._members = [torch.nonzero(known == c).flatten() for c in torch.unique(known[known >= 0])]
        return (exact if self.how == "exact" else drawn)(self._members, order.shape[-1], noise)


def exact(members: list[Tensor], n: int, noise: Noise) -> Tensor:
    """An order (n,), in a stack (R, n), with as many samples of each class as of any other; n mod C classes, drawn anew, have one more."""
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
    """An order (n,), in a stack (R, n): at each place a class drawn evenly, and of it a sample, with replacement."""
    classes = noise.integers(0, len(members), n)
    sizes = torch.tensor([len(own) for own in members])
    starts = sizes.cumsum(0) - sizes
    # float64: a float32 times a size may round up to the size
    place = (noise.uniform(n).double() * sizes[classes]).long()
    return torch.cat(members)[starts[classes] + place]
