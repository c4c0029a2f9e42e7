"""Checks of the data as the network gets them: scales, constant and invalid columns, leaks, classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.trees import tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.checks.shared.probe import Probe
    from ablate.data.dataset import Batch

NAMED = 3
"""Number of columns or classes that a finding lists."""

FEW = 4096
"""Number of samples that statistics use, at most."""

VALUES = 2**21
"""Number of input values that statistics use, at most, if there are at least 64 samples."""


def many(probe: Probe) -> Batch:
    """Fixed training samples for statistics."""
    size = sum(one[:1].numel() for one in tensors(probe.batch.inputs))
    return probe.samples(min(FEW, max(64, VALUES // max(size, 1))))


def inputs_of(probe: Probe) -> Tensor | None:
    """Training inputs as the network gets them, float (n, …); None if they are several tensors, or integers."""
    inputs = many(probe).inputs
    return inputs if isinstance(inputs, torch.Tensor) and inputs.is_floating_point() and len(inputs) > 1 else None


def column_names(probe: Probe, columns: list[int]) -> str:
    """The names of columns of a table, or their numbers."""
    names = probe.spec.input_names
    shown = [names[i] if i < len(names) else str(i) for i in columns[:NAMED]]
    more = len(columns) - NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


@register(
    "check",
    "input_scale",
    card=Card(
        "Checks the range of the inputs, and looks for constant and invalid columns.",
        source="Zhang et al. 2021, DLCheck (|mean| > 10, standard deviation > 100); LeCun et al. 1998, Efficient "
        "BackProp, section 4.3",
        helps="To find pixels from 0 to 255 with a learning rate for 0 to 1, unscaled columns, and NaN.",
        interacts="Inputs are checked after standardise and other tricks. Integers (tokens) are left out; constant "
        "columns are reported for tables only, because many pixels are constant.",
    ),
)
class InputScale(Check):
    """Mean and standard deviation over all values, of a table also over each column."""

    quick = True
    needs_weights = False

    mean: Annotated[float, Range(gt=0)] = Field(default=10.0, description="largest |mean|")
    low: Annotated[float, Range(ge=0)] = Field(default=0.01, description="smallest standard deviation")
    high: Annotated[float, Range(gt=0)] = Field(default=100.0, description="largest standard deviation")

    def look(self, probe: Probe) -> Iterator[Finding]:
        inputs = inputs_of(probe)
        if inputs is None:
            return
        flat = inputs.flatten(1).double()
        bad = (~flat.isfinite()).any(dim=0)
        table = inputs.dim() == 2
        scaling = "Scale the inputs, for example with the trick standardise, or divide pixels by 255."
        if bool(bad.any()):
            where = f"columns {column_names(probe, bad.nonzero().flatten().tolist())}" if table else "some inputs"
            share = float((~flat.isfinite()).any(dim=1).double().mean())
            yield Finding(
                "warning",
                "Some inputs are NaN or infinite.",
                f"{where}, in {share:.1%} of the samples",
                "finite numbers",
                "Remove these samples or columns, or fill in their values.",
            )
            return
        mean, sd = float(flat.mean()), float(flat.std())
        if abs(mean) > self.mean or not self.low <= sd <= self.high:
            yield Finding(
                "warning",
                "The inputs are constant." if sd == 0 else "The inputs are badly scaled.",
                f"mean {mean:.3g}, standard deviation {sd:.3g}",
                f"|mean| at most {self.mean:g}, standard deviation from {self.low:g} to {self.high:g}",
                "Check how the inputs are read." if sd == 0 else scaling,
            )
        elif table:
            yield from self._columns(probe, flat, scaling)

    def _columns(self, probe: Probe, flat: Tensor, scaling: str) -> Iterator[Finding]:
        means, sds = flat.mean(dim=0), flat.std(dim=0)
        wide = ((means.abs() > self.mean) | (sds > self.high)).nonzero().flatten().tolist()
        if wide:
            i = max(wide, key=lambda one: float(means[one].abs() + sds[one]))
            yield Finding(
                "warning",
                "Some columns of the inputs are badly scaled.",
                f"{column_names(probe, wide)}; {column_names(probe, [i])} has mean {float(means[i]):.3g}, standard "
                f"deviation {float(sds[i]):.3g}",
                f"|mean| at most {self.mean:g}, standard deviation at most {self.high:g}",
                scaling,
            )
        constant = (flat == flat[:1]).all(dim=0).nonzero().flatten().tolist()
        if constant and flat.shape[1] > len(constant) and not picture_like(flat):
            yield Finding(
                "warning",
                "Some columns of the inputs are constant.",
                f"columns {column_names(probe, constant)}",
                "values that differ between samples",
                "Remove these columns, or check how they are read.",
            )


def picture_like(flat: Tensor) -> bool:
    """Whether the columns of a table may be pixels: many, all in the same range."""
    return flat.shape[1] >= 49 and bool((flat.amin() == flat[:, ::2].amin()) | (flat.amax() == flat[:, ::2].amax()))


@register(
    "check",
    "target_scale",
    card=Card(
        "Checks the standard deviation of continuous targets.",
        source="A target of 10,000 gives a squared error of 1e8, and gradients in proportion",
        helps="To find targets in units that are too small or too large: the loss is huge at the start, or its "
        "gradients are tiny.",
        interacts="For mse, l1, smooth_l1 and huber; l1 depends less on the scale. Targets are checked after "
        "normalise_targets.",
    ),
)
class TargetScale(Check):
    """The standard deviation over all known targets of the training set."""

    quick = True
    needs_weights = False

    low: Annotated[float, Range(ge=0)] = Field(default=0.01, description="smallest standard deviation")
    high: Annotated[float, Range(gt=0)] = Field(default=20.0, description="largest standard deviation")

    def look(self, probe: Probe) -> Iterator[Finding]:
        targets = many(probe).targets
        if probe.loss_name not in ("mse", "l1", "smooth_l1", "huber") or not isinstance(targets, torch.Tensor):
            return
        known = targets[targets.isfinite()].double()
        if len(known) < 2:
            return
        sd = float(known.std())
        if not self.low <= sd <= self.high:
            yield Finding(
                "warning",
                "The targets are badly scaled.",
                f"standard deviation {sd:.3g}, mean {float(known.mean()):.3g}",
                f"a standard deviation from {self.low:g} to {self.high:g}",
                "Add the trick normalise_targets (metrics stay in the original unit), or use another unit.",
            )


@register(
    "check",
    "classes",
    card=Card(
        "Checks whether all classes occur in both splits, and how imbalanced they are.",
        source="SageMaker Debugger, rule ClassImbalance (ratio above 10)",
        helps="To find classes that a split lacks, and imbalance that makes accuracy misleading.",
        interacts="For one class index per sample. If classes are imbalanced, use class_weights or balanced_sampling, "
        "and the metrics f1 and balanced_accuracy.",
    ),
)
class Classes(Check):
    """Counts the classes of the training and validation set. A missing class is reported only if the split is large
    enough to contain all classes.
    """

    quick = True
    needs_weights = False

    ratio: Annotated[float, Range(gt=1)] = Field(
        default=10.0, description="largest ratio of the most to the least frequent class in the training set"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        if probe.spec.task != "classification" or probe.spec.places or probe.spec.outputs < 2:
            return
        counts = {}
        for split in ("train", "valid"):
            part = probe.data.train if split == "train" else probe.data.valid
            targets = part.targets
            if not isinstance(targets, torch.Tensor) or targets.is_floating_point() or targets.dim() != 1:
                return
            counts[split] = torch.bincount(targets[targets >= 0], minlength=probe.spec.outputs)
        names = probe.spec.classes or tuple(map(str, range(probe.spec.outputs)))
        train, valid = counts["train"], counts["valid"]
        present = int((train > 0).sum())
        if present == 1:
            yield Finding(
                "error",
                "All training samples have the same class.",
                f"class {names[int(train.argmax())]}",
                "at least two classes",
                "Check how the targets are read and how the data are split.",
            )
            return
        for split, own, other in (("training", train, valid), ("validation", valid, train)):
            few = int(own.sum()) < 5 * present
            missing = ((own == 0) & ((other > 0) | (split == "training"))).nonzero().flatten().tolist()
            if missing and not few:
                shown = ", ".join(names[i] for i in missing[:NAMED])
                yield Finding(
                    "warning",
                    f"Some classes do not occur in the {split} set.",
                    f"{shown} ({len(missing)} of {len(own)})",
                    "samples of every class",
                    "Check whether class indices start at 0, and shuffle or stratify the split.",
                )
        occurring = train[train > 0]
        ratio = float(occurring.max() / occurring.min())
        if ratio > self.ratio:
            yield Finding(
                "warning",
                "The classes are imbalanced.",
                f"{names[int(train.argmax())]} is {ratio:.3g} times as frequent as the rarest class",
                f"a ratio of at most {self.ratio:g}",
                "Compare with class_weights or balanced_sampling, and report f1 or balanced_accuracy.",
            )
