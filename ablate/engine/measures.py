"""Losses and metrics as functions of predictions and targets of one network."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.data.classes import check_shape
from ablate.data.dataset import Parts, Spec
from ablate.engine.contract import Assignment
from ablate.engine.data_checks import has_gaps
from ablate.engine.example_values import EachExample, of_each_example
from ablate.engine.replicas import CannotStack
from ablate.losses.loss import Loss
from ablate.metrics.metric import Metric
from ablate.metrics.regression import in_original_unit
from ablate.recipe.settings import Choice
from ablate.registry.described import type_of
from ablate.registry.lazy import torch
from ablate.trees import Tree, cloned, described, length, tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

Measure = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Measures:
    """The loss or its terms (`Loss.terms`), the weight of a batch in their means, and the metrics by name; and those of
    single samples, of one network also for a stack.
    """

    loss: Measure
    loss_weight: Callable[[Tensor], Tensor | int]
    metrics: dict[str, Measure]
    each_example: EachExample


def make_measures(assignment: Assignment, data: Parts, networks: Sequence[nn.Module]) -> Measures:
    """The loss and metrics of one network. Raises `CannotStack` if a metric uses the network itself."""
    settings, folder = assignment.settings, assignment.folder
    # custom tricks may remove targets in a batch
    missing = settings.custom("tricks") or has_gaps(data)
    loss, weight = make_loss(settings.loss, data.spec, folder, missing=missing, targets=data.train.targets)
    loss = (loss.terms if isinstance(loss, Loss) else None) or loss
    metrics = {choice.label: make_metric(choice, data.spec, folder, networks[0]) for choice in settings.metrics}
    if settings.model.target is not None and len(networks) == 1:
        built_in = settings.loss.options
        if isinstance(built_in, Loss) and not built_in.any_targets:
            loss = of_tensor(settings.loss, loss)
        metrics |= {one.label: of_tensor(one, metrics[one.label]) for one in settings.metrics if one.name is not None}
    if len(networks) > 1:
        for choice in settings.metrics:
            if choice.target is not None and takes_network(user_function(choice, folder)):
                raise CannotStack(f"metric (={choice.target}) uses the network.")
    return Measures(loss, weight, metrics, of_each_example(settings, data.spec, data.valid, loss, weight))


def make_loss(
    choice: Choice, spec: Spec, folder: Path, *, missing: bool, targets: Tensor | None = None
) -> tuple[Measure, Callable[[Tensor], Tensor | int]]:
    """The loss, and the weight of a batch in a mean over several.

    ``missing``: targets can be NaN. ``targets``: those of the training set, None if it is streamed.
    """
    if choice.target is not None:
        function = user_function(choice, folder)
        return one_number(choice, function), own_weight(function)
    loss = choice.built_in(Loss)
    assert choice.name is not None
    loss.check(choice.name, spec)
    if spec.task == "other" and not loss.any_targets:
        check_shape(targets, choice.name)
    loss = loss.for_data(targets, spec).for_targets(missing=missing)
    return loss, loss.weight


def make_metric(choice: Choice, spec: Spec, folder: Path, network: nn.Module | None = None) -> Measure:
    """A metric as a function of all predictions and targets of a dataset, in the data's original unit.

    ``network``: for a custom function with a parameter of that name.
    """
    if choice.target is not None:
        function = user_function(choice, folder)
        if takes_network(function):
            function = partial(function, network=network)
        elif callable(getattr(function, "update", None)) and callable(getattr(function, "compute", None)):
            function = partial(computed, function)
        return in_original_unit(one_number(choice, function), spec)
    metric = choice.built_in(Metric)
    assert choice.name is not None
    metric.check(choice.name, spec)
    return in_original_unit(lambda prediction, target: metric.measure(prediction, target, spec), spec)


def user_function(choice: Choice, folder: Path) -> Any:
    """The user's function with the recipe's arguments, or an object of the user's class."""
    target = choice.resolve(folder)
    options: Mapping[str, Any] = choice.options  # type: ignore[assignment]
    return target(**options) if inspect.isclass(target) else partial(target, **options)


def of_tensor(choice: Choice, measure: Measure) -> Measure:
    """A built-in loss or metric for a custom network, which may return a nest: that raises ValueError (one line)."""

    def checked(prediction: Tensor, target: Tensor) -> Tensor:
        if not isinstance(prediction, torch.Tensor):
            raise ValueError(
                f"{choice.kind} (={choice.name}) requires predictions that are one tensor, but the network returns "
                f"{described(prediction)}. Set batch.output, or use a target."
            )
        return measure(prediction, target)

    return checked


def takes_network(function: Any) -> bool:
    """Whether a custom metric has a parameter ``network``."""
    try:
        return "network" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def computed(metric: Any, prediction: Tree, target: Tree) -> Any:
    """The value of a metric with a state, such as those of torchmetrics, from its initial state on."""
    if callable(getattr(metric, "reset", None)):
        metric.reset()
    else:
        metric = copy.deepcopy(metric)
    metric.update(prediction, target)
    return metric.compute()


def own_weight(loss: Any) -> Callable[[Tensor], Tensor | int]:
    """The method ``weight(target)`` of a custom loss: what its mean is divided by; by default the number of samples."""
    declared = getattr(loss, "weight", None)  # a tensor in torch's own losses
    if not inspect.ismethod(declared) or (isinstance(loss, Loss) and loss.terms is not None):
        return length
    return lambda target: torch.as_tensor(declared(cloned(target)), device=next(tensors(target)).device)


def one_number(choice: Choice, function: Any) -> Measure:
    """The user's function, which gets copies.

    When called, it raises ValueError if the function does not return one number.
    """

    def measure(prediction: Tensor, target: Tensor) -> Tensor:
        value = function(cloned(prediction), cloned(target))  # which it may write to
        if choice.kind == "metric" and isinstance(value, int | float):
            return torch.as_tensor(float(value), device=next(tensors(target)).device)
        if not isinstance(value, torch.Tensor) or value.dim() != 0:
            what = type_of(value)
            if isinstance(value, torch.Tensor):
                what = f"a tensor of shape {tuple(value.shape)}"
            rule = f"must return one number (a 0-d tensor), but returned {what}. Use its mean, for example."
            raise ValueError(f"{choice.kind} (={choice.target}) {rule}")
        return value

    return measure
