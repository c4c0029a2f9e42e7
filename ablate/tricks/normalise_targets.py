"""Normalize regression targets; metrics stay in the original unit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ablate.data.dataset import TargetScaling
from ablate.data.load import known_spec
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
        "Normalizes regression targets; metrics keep their unit.",
        source=(
            "LeCun et al. 1998, Efficient BackProp, section 4.5; Bishop 1995, Neural Networks for Pattern "
            "Recognition, section 8.2"
        ),
        helps="For targets far from 0, such as prices, whose initial loss is otherwise so large that training fails.",
        costs="Losses are in the normalized unit: compare a metric, such as rmse, with variants that do not normalize.",
        interacts="Gives several outputs equal weight. Cannot be used with keypoints that are already scaled.",
    ),
)
class NormaliseTargets(Trick):
    """(target − shift)/scale for all splits, computed from the *training* set. The scale of a constant target is 1.

    ``standard``: mean 0, standard deviation 1. ``unit``: from 0 to 1. ``symmetric``: from −1 to 1. Missing targets
    (NaN) are ignored and stay missing. Metrics undo the scaling with the spec's ``target_scaling``.
    """

    stacked = True
    any_inputs = True
    scales_targets: ClassVar[bool] = True
    """Its losses have their own unit, so a recipe does not compare them with others
    (`ablate.recipe.measured.scaled_by`).
    """
    shorthand = "to"
    order = 20
    examples = ({}, {"to": "unit", "per": "all"})
    example_needs = "numbers"

    to: To = Field(
        default="standard",
        description="standard: mean 0, standard deviation 1; unit: from 0 to 1; symmetric: from -1 to 1",
    )
    per: Literal["output", "all"] = Field(
        default="output", description="output: scale each output separately; all: one scale for all outputs"
    )

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if targets are class indices, before losses in another unit are compared."""
        check_columns("normalise_targets", settings)
        if (spec := known_spec(settings.data)) is not None:
            self.check(spec)
        return settings

    def check(self, spec: Spec) -> None:
        """Raises ValueError if targets are classes or keypoints that are already scaled."""
        scaled = spec.keypoints is not None and any(axis.scale != 1 for axis in spec.keypoints.axes)
        if spec.task == "classification" or scaled:
            what = "keypoints, which are already scaled" if scaled else "classes"
            raise ValueError(f"trick (=normalise_targets) requires continuous targets, but they are {what}. Remove it.")

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if targets are streamed or not a table of floats."""
        for name, part in {"train": data.train, "valid": data.valid, "test": data.test}.items():
            if part is not None and (
                part.targets is None or not part.targets.is_floating_point() or part.targets.dim() > 2
            ):
                what = (
                    "streamed" if part.targets is None else f"{part.targets.dtype} of shape {tuple(part.targets.shape)}"
                )
                raise ValueError(
                    "trick (=normalise_targets) requires targets (n, outputs) of floats in memory, but those of "
                    f"the {name} split are {what}. Remove it."
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
    """The shift and scale that normalize the known targets of (n, outputs)."""
    values = (targets[:, None] if targets.dim() == 1 else targets).double()
    columns = [values.flatten()] if per == "all" else list(values.unbind(dim=1))
    shifts, scales = [], []
    for column in columns:
        known = column[~column.isnan()]
        if not len(known):
            raise ValueError(
                "trick (=normalise_targets): all training targets of one output are missing. Remove that column."
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
    """Two consecutive scalings as one."""
    shift, scale, again, times = (
        torch.tensor(numbers, dtype=torch.float64) for numbers in (first.shift, first.scale, second.shift, second.scale)
    )
    shift, scale = shift + scale * again, scale * times
    return TargetScaling(tuple(shift.tolist()), tuple(scale.tolist()))
