"""Losses and metrics of single validation samples, if they are means over samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ablate.data.dataset import Part, Spec
from ablate.data.examples import MOST, Examples
from ablate.engine.each_seed import vmapped
from ablate.losses.from_model import FromModel
from ablate.metrics.metric import Metric
from ablate.metrics.regression import in_original_unit
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.trees import tree_map

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Each = Callable[["Tensor", "Tensor"], "tuple[Tensor, Tensor]"]
"""From the predictions and targets of N samples of one network to their values and weights, (N,) or, for a loss that is
a sum of K means, (N, K).
"""

ROUNDING = {"float64": 1e-9, "float32": 1e-4, "tf32": 1e-4}
"""By how much the mean over samples may differ from the value of the whole set, relative to it; `COARSE` with mixed
precision.
"""

COARSE = 5e-3

SAME = 1e-9
"""By how much a custom loss of a batch may differ from the mean of its samples' in float64, relative to it."""


@dataclass(frozen=True)
class EachExample:
    """What is computed for each sample, by metric, and where the samples are from: ``ids`` and ``groups``, both (n,);
    nothing is computed without ``ids``.
    """

    measures: Mapping[str, Each] = field(default_factory=dict)
    ids: Tensor | None = None
    groups: Tensor | None = None


def of_each_example(
    settings: Settings, spec: Spec, valid: Part, loss: Callable[..., Tensor], weight: Callable[..., Tensor | int]
) -> EachExample:
    """The loss and the metrics that may be means over samples. ``loss`` and ``weight`` are of one network (see `Loss`).

    A custom loss is one if the mean over samples, each a batch of its own, is what it returns for all; a custom metric
    never is. Nothing is computed for samples without a position, and for more than `MOST` of them.
    """
    rows = valid.rows
    if rows is None or len(rows) != len(valid) or len(rows) > MOST:
        return EachExample()
    found: dict[str, Each] = {}
    if not isinstance(settings.loss.options, FromModel):
        of_each = loss_of_each if settings.loss.target is None else own_loss_of_each
        found["valid_loss"] = partial(of_each, loss, weight)
    for choice in settings.metrics:
        if choice.target is None and (each := metric_of_each(choice.built_in(Metric), spec)) is not None:
            found[choice.label] = each
    return EachExample(found, rows, valid.groups)


def metric_of_each(metric: Metric, spec: Spec) -> Each | None:
    """A metric of each sample, in the data's original unit; None if the metric is no mean over samples."""
    if type(metric).each is Metric.each:
        return None

    def each(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        values = metric.each(prediction, target, spec)
        if values is None:
            raise ValueError("is no mean over samples")
        return values

    return in_original_unit(each, spec)


def loss_of_each(
    loss: Callable[..., Tensor], weight: Callable[..., Tensor | int], prediction: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss of each sample, as a batch of its own, and its weight in the mean over batches (`Loss`)."""

    alone, targets = (tree_map(lambda values: values.unsqueeze(1), half) for half in (prediction, target))
    values = vmapped(loss)(alone, targets)

    def weight_of(target: Tensor) -> Tensor:
        return torch.as_tensor(weight(target), device=values.device)

    return values, torch.func.vmap(weight_of)(targets)


def tolerance_of(precision: str) -> float:
    """By how much a mean over samples may differ from the recorded value, relative to it."""
    return ROUNDING.get(precision, COARSE)


def own_loss_of_each(
    loss: Callable[..., Tensor], weight: Callable[..., Tensor | int], prediction: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """`loss_of_each` of a custom loss. Raises ValueError if the loss of the batch is not the mean of these."""
    exact = [
        tree_map(lambda one: one.double() if one.is_floating_point() else one, tree) for tree in (prediction, target)
    ]
    values, weights = loss_of_each(loss, weight, *exact)
    mean = float((values * weights).sum() / weights.sum())
    if not math.isclose(mean, float(loss(*exact)), rel_tol=SAME):
        raise ValueError("is no mean over samples")
    return loss_of_each(loss, weight, prediction, target)


def of_seed(
    each: EachExample,
    found: Mapping[str, Sequence[tuple[Tensor, Tensor]]],
    recorded: Mapping[str, float],
    tolerance: float,
) -> Examples | None:
    """The values of a seed's samples, from those of its batches, of metrics whose mean is the recorded one."""
    values: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    for name, batches in found.items():
        parts = [torch.cat(half).cpu() for half in zip(*batches, strict=True)]
        single = as_one_mean(*parts)
        if single is None or name not in recorded:
            continue
        value, weight = single
        total = float(weight.sum())
        mean = float((value * weight).sum()) / total if total else math.nan
        if not value.isfinite().all() or not math.isclose(mean, recorded[name], rel_tol=tolerance, abs_tol=1e-12):
            continue
        kind = torch.float64 if tolerance == ROUNDING["float64"] else torch.float32
        values[name] = value.to(kind).numpy()
        if bool((weight != weight[0]).any()):
            weights[name] = weight.to(torch.float32).numpy()
    if not values or each.ids is None:
        return None
    groups = None if each.groups is None else each.groups.long().cpu().numpy()
    return Examples(each.ids.long().cpu().numpy(), values, weights, groups)


def examples_of(
    each: EachExample, prediction: Tensor, target: Tensor, recorded: Mapping[str, float], precision: str
) -> Examples | None:
    """The values of all samples from their predictions by one network, or by several together."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, measure in each.measures.items():
        with suppress(Exception):  # custom code that takes whole batches only
            found[name] = [measure(prediction, target)]
    return of_seed(each, found, recorded, tolerance_of(precision))


def as_one_mean(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor] | None:
    """Values and weights (n,) from those of a sum of K means, (n, K); None if samples have other weights in each."""
    values, weights = values.double(), weights.double()
    if values.dim() == 1:
        return (values, weights) if weights.dim() == 1 else None
    weights = weights.expand_as(values) if weights.dim() == 2 else weights.unsqueeze(1).expand_as(values)
    shares = weights / weights.mean(dim=0)
    if not torch.allclose(shares, shares[:, :1], rtol=1e-9, atol=0.0):
        return None
    return values.sum(dim=1), weights[:, 0]
