"""Losses and metrics as functions of predictions and targets of one network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ablate.data.dataset import Parts, Spec
from ablate.losses.loss import Loss
from ablate.metrics.metric import Metric
from ablate.recipe.settings import Choice

if TYPE_CHECKING:
    from torch import Tensor

Measure = Callable[["Tensor", "Tensor"], "Tensor"]


def has_gaps(data: Parts) -> bool:
    """Whether any target may be missing (NaN); asked once, so that no batch has to be. Data that are not in memory may have gaps."""
    parts = [part for part in (data.train, data.valid, data.test) if part is not None]
    return any(
        part.targets is None or (part.targets.is_floating_point() and bool(part.targets.isnan().any()))
        for part in parts
    )


def make_loss(
    choice: Choice, spec: Spec, folder: Path, *, missing: bool
) -> tuple[Measure, Callable[[Tensor], Tensor | int]]:
    """The loss, and what each batch counts for in an epoch's mean. ``missing`` says whether targets may be NaN."""
    if choice.target is not None:
        return with_arguments(choice, folder), len
    loss = choice.named
    assert isinstance(loss, Loss)
    if loss.task is not None and spec.task not in (loss.task, "other"):
        kinds = {"classification": "class numbers", "regression": "numbers"}
        raise ValueError(
            f"loss (={choice.name}) needs targets that are {kinds[loss.task]}; the data's are {kinds[spec.task]}."
        )
    told = loss.for_targets(missing=missing)
    return told, told.weight


def make_metric(choice: Choice, spec: Spec, folder: Path) -> Measure:
    """A metric as a function of all predictions and targets of a part."""
    if choice.target is not None:
        return with_arguments(choice, folder)
    metric = choice.named
    assert isinstance(metric, Metric)
    return lambda prediction, target: metric.measure(prediction, target, spec)


def with_arguments(choice: Choice, folder: Path) -> Measure:
    """The user's function with the recipe's arguments; a class is made into an object first."""
    target = choice.resolve(folder)
    options: Mapping[str, Any] = choice.options  # type: ignore[assignment]
    made: Any = target(**options) if inspect.isclass(target) else partial(target, **options)
    return cast("Measure", made)
