"""Regression targets of a small range; metrics stay in the original unit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ablate.data.dataset import TargetScaling
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.shared.soft_targets import check_columns
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Part, Parts, Spec
    from ablate.recipe.settings import Settings

To = Literal["standard", "unit", "symmetric"]


@register(
    "trick",
    "normalise_targets",
    card=Card(
        "Scales regression targets to a small range; metrics keep their unit.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.5; Bishop 1995, Neural Networks for Pattern Recognition, section 8.2",
        helps="Targets far from 0, such as prices: unscaled, the first loss is huge and training fails.",
        costs="The losses are in the scaled unit: compare a metric, such as rmse, with rows that do not scale.",
        interacts="With several outputs each counts alike afterwards. Landmarks have their own scaling in the data set.",
    ),
)
class NormaliseTargets(Trick):
    """(target − shift)/scale with the *training* part's numbers, for the valid and test parts too; what is constant in training is divided by 1.

    ``standard``: mean 0, deviation 1. ``unit``: from 0 to 1. ``symmetric``: from −1 to 1. Missing targets (NaN) stay missing and count in none of these.
    The spec's ``target_scaling`` tells metrics how to undo it.
    """

    stacked = True
    scales_targets: ClassVar[bool] = True
    """Its losses are in a unit of their own: the recipe compares them with no others (`ablate.recipe.measured.scaled_by`)."""
    shorthand = "to"
    order = 20

    to: To = Field(default="standard", description="mean 0 and deviation 1; from 0 to 1; from -1 to 1")
    per: Literal["output", "all"] = Field(default="output", description="each output by itself, or all with one scale")

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError where targets are columns of class numbers."""
        check_columns("normalise_targets", settings)
        return settings

    def check(self, spec: Spec) -> None:
        """Raises ValueError where targets are classes or landmarks."""
        if spec.task == "classification" or spec.landmarks is not None:
            what = "landmarks, which are scaled" if spec.landmarks is not None else "classes"
            raise ValueError(
                f"trick (=normalise_targets) needs targets that are plain numbers; they are {what}. Drop it."
            )

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where targets are streamed or no table of numbers."""
        for name, part in {"train": data.train, "valid": data.valid, "test": data.test}.items():
            if part is not None and (
                part.targets is None or not part.targets.is_floating_point() or part.targets.dim() > 2
            ):
                what = (
                    "streamed" if part.targets is None else f"{part.targets.dtype} of shape {tuple(part.targets.shape)}"
                )
                raise ValueError(
                    f"trick (=normalise_targets) needs targets (n, outputs) of floats in memory; those of the {name} part are {what}. Drop it."
                )
        assert data.train.targets is not None
        scaling = scaling_of(data.train.targets, self.to, self.per)

        def done(part: Part) -> Part:
            assert part.targets is not None
            wide = part.targets[:, None] if part.targets.dim() == 1 else part.targets
            return replace(part, targets=scaling.scaled(wide.double()).to(wide.dtype).view(part.targets.shape))

        before = data.spec.target_scaling
        return replace(
            data,
            train=done(data.train),
            valid=done(data.valid),
            test=None if data.test is None else done(data.test),
            spec=replace(data.spec, target_scaling=scaling if before is None else together(before, scaling)),
        )


def scaling_of(targets: Tensor, to: To, per: Literal["output", "all"]) -> TargetScaling:
    """The shift and scale that bring the known numbers of (n, outputs) to a range."""
    values = (targets[:, None] if targets.dim() == 1 else targets).double()
    columns = [values.flatten()] if per == "all" else list(values.unbind(dim=1))
    shifts, scales = [], []
    for column in columns:
        known = column[~column.isnan()]
        if not len(known):
            raise ValueError(
                "trick (=normalise_targets) finds an output without a single known target in the train part. Leave that column out."
            )
        low, high = known.min(), known.max()
        if to == "standard":
            shift, scale = known.mean(), known.std(correction=0)
        else:
            shift, scale = (low, high - low) if to == "unit" else ((low + high) / 2, (high - low) / 2)
        shifts.append(float(shift))
        scales.append(1.0 if low == high else float(scale))
    return TargetScaling(tuple(shifts), tuple(scales))


def together(first: TargetScaling, second: TargetScaling) -> TargetScaling:
    """Two scalings, one after the other, as one."""
    shift, scale, again, times = (
        torch.tensor(numbers, dtype=torch.float64) for numbers in (first.shift, first.scale, second.shift, second.scale)
    )
    shift, scale = shift + scale * again, scale * times
    return TargetScaling(tuple(shift.tolist()), tuple(scale.tolist()))
