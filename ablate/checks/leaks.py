"""Checks for leaks: samples on both sides of the split, and columns that contain the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.checks.data import column_names, many
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.trees import tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.checks.shared.probe import Probe
    from ablate.trees import Tree


@register(
    "check",
    "duplicates",
    card=Card(
        "Looks for validation samples and groups that are also in the training set.",
        source="Kapoor and Narayanan 2023, Leakage and the Reproducibility Crisis in Machine-Learning-Based Science",
        helps="To find a split that lets the network memorize validation samples.",
        interacts="Only exact copies, in data held in memory; texts are left out. Use data.group if samples of one "
        "person or object belong together.",
    ),
)
class Duplicates(Check):
    """The share of validation samples whose inputs are equal to those of a training sample, bit by bit. Data with
    few different values are left out: their samples can be equal by chance.
    """

    quick = True
    needs_weights = False

    share: Annotated[float, Range(ge=0)] = Field(
        default=0.001, description="largest share of validation samples that are also in the training set"
    )
    by_chance: Annotated[float, Range(ge=0)] = Field(
        default=0.05, description="share of duplicates within the training set above which data are left out"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        train, valid = probe.part("train"), probe.part("valid")
        if train is None or valid is None or probe.spec.vocabulary:
            return
        if train.groups is not None and valid.groups is not None:
            both = set(train.groups.tolist()) & set(valid.groups.tolist())
            if both:
                yield Finding(
                    "warning",
                    "Some groups are in both the training set and the validation set.",
                    f"{len(both)} of {len(set(valid.groups.tolist()))} groups of the validation set",
                    "each group in one of the two only",
                    "Split by whole groups (data.group).",
                )
        own, other = flat_rows(train.inputs), flat_rows(valid.inputs)
        known = keys_of(own)
        places = {key: i for i, key in enumerate(known)}
        if len(places) < (1 - self.by_chance) * len(known):
            return
        pairs = [(places[key], i) for i, key in enumerate(keys_of(other)) if key in places]
        count = sum(all(torch.equal(a[i], b[j]) for a, b in zip(own, other, strict=True)) for i, j in pairs)
        if count > self.share * len(valid):
            yield Finding(
                "warning",
                "Some validation samples are also in the training set.",
                f"{count} of {len(valid)} ({count / len(valid):.1%})",
                f"at most {self.share:.1%}",
                "Remove duplicates before the split, or split by groups (data.group).",
            )


def flat_rows(inputs: Tree) -> list[Tensor]:
    """The tensors of a split's inputs, each (n, values)."""
    return [one.reshape(len(one), -1) for one in tensors(inputs)]


def keys_of(parts: list[Tensor]) -> list[bytes]:
    """A key of each sample from up to 64 of its values: equal samples have equal keys."""
    few = [part[:, torch.linspace(0, part.shape[1] - 1, min(64, part.shape[1])).long()] for part in parts]
    arrays = [part.contiguous().numpy() for part in few]
    return [b"".join(array[i].tobytes() for array in arrays) for i in range(len(arrays[0]))] if arrays else []


@register(
    "check",
    "leaking_column",
    card=Card(
        "Looks for a column of the inputs that determines the target.",
        source="Kaufman et al. 2012, Leakage in Data Mining",
        helps="To find a copy of the target among the inputs, such as an identifier that was made from it.",
        interacts="Only for tables with at least 50 samples. A feature that really is this good is a finding, too.",
    ),
)
class LeakingColumn(Check):
    """The share of a column's variance that the target explains: r² for continuous targets, η² for classes."""

    quick = True
    needs_weights = False

    share: Annotated[float, Range(gt=0, lt=1)] = Field(default=0.999, description="largest share of explained variance")

    def look(self, probe: Probe) -> Iterator[Finding]:
        batch = many(probe)
        inputs, targets = batch.inputs, batch.targets
        if not (isinstance(inputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
            return
        if inputs.dim() != 2 or not inputs.is_floating_point() or len(inputs) < 50 or inputs.shape[1] < 2:
            return
        columns = inputs.double().nan_to_num()
        if targets.is_floating_point():
            values = targets.double().reshape(len(targets), -1).nan_to_num()
            explained = torch.corrcoef(torch.cat([columns, values], dim=1).T)[: columns.shape[1], columns.shape[1] :]
            shares = explained.square().nan_to_num().amax(dim=1)
        elif targets.dim() == 1 and probe.spec.outputs < len(targets) / 5:
            shares = between_classes(columns, targets)
        else:
            return
        leaks = (shares > self.share).nonzero().flatten().tolist()
        if leaks:
            yield Finding(
                "warning",
                "A column of the inputs determines the target.",
                f"column {column_names(probe, leaks)}: the target explains {float(shares[leaks[0]]):.4f} of its "
                "variance",
                f"at most {self.share:g}",
                "Remove the column if it would not be known for new samples.",
            )


def between_classes(columns: Tensor, classes: Tensor) -> Tensor:
    """η² of each column: its variance between classes, as a share of all."""
    total = (columns - columns.mean(dim=0)).square().sum(dim=0)
    within = torch.zeros_like(total)
    for one in torch.unique(classes):
        own = columns[classes == one]
        within += (own - own.mean(dim=0)).square().sum(dim=0)
    return torch.where(total > 1e-12, 1 - within / total.clamp(min=1e-12), 0.0)
