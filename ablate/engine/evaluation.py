"""Losses and metrics in evaluation mode: no dropout, no augmentation, no penalties; with averaged weights, if any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ablate.data.examples import Examples
from ablate.data.loaders import Loader
from ablate.engine.device import autocast, dtype_of
from ablate.engine.example_values import of_seed, tolerance_of
from ablate.layers.batch_norm import batch_norms
from ablate.losses.from_model import prediction_of
from ablate.registry.lazy import torch
from ablate.trees import joined, length, unbound

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.engine.assembly import Assembly


def evaluate(
    assembly: Assembly, loader: Loader, *, metrics: bool, watched: bool = False, samples: Tensor | None = None
) -> dict[str, Tensor]:
    """``loss`` and, with ``metrics``, the recipe's metrics over a dataset: each (R,), on the device.

    ``watched``: pass the predictions to tracked metrics. ``samples``: only these.
    """
    replicas = assembly.replicas
    replicas.eval()
    total: Tensor | float = 0.0
    weight: Tensor | int = 0
    watched = watched and assembly.tracked.valid
    kept = watched or (metrics and bool(assembly.metrics))
    predictions, targets = [], []
    with torch.no_grad(), autocast(assembly.device, assembly.settings.precision):
        for batch, (inputs, target) in enumerate(loader.batches(samples)):
            output, target = assembly.predict(assembly.given(inputs, target), batch), replicas.shared(target)
            share = assembly.loss_weight(target)
            total = total + assembly.loss(output, target) * share
            weight = weight + share
            if kept:
                predictions.append(prediction_of(output))
                targets.append(target)
        values = {"loss": assembly.mean_loss(total, weight)}  # type: ignore[arg-type]
        if predictions:
            prediction = joined(predictions, replicas.lead, dtype_of(assembly.settings.precision))
            target = joined(targets, replicas.lead)
            if metrics:
                for name, measure in assembly.metrics.items():
                    values[name] = torch.as_tensor(measure(prediction, target))
            if watched:
                assembly.tracked.show_valid(prediction, target)
    return {name: torch.as_tensor(value, device=assembly.device).reshape(-1) for name, value in values.items()}


def evaluate_examples(assembly: Assembly, recorded: Mapping[int, Mapping[str, float]]) -> dict[int, Examples]:
    """The values of all validation samples for each seed number in ``recorded``, which holds its values over the whole
    set; metrics that are no means over samples are left out.

    One pass over the validation set with the networks' current weights.
    """
    each, replicas, precision = assembly.each_example, assembly.replicas, assembly.settings.precision
    if each.ids is None or not each.measures or not recorded:
        return {}
    measures = dict(each.measures)
    found: dict[tuple[int, str], list[tuple[Tensor, Tensor]]] = {}
    replicas.eval()
    with torch.no_grad(), autocast(assembly.device, precision):
        for batch, (inputs, target) in enumerate(assembly.valid.batches(None)):
            output = prediction_of(assembly.predict(assembly.given(inputs, target), batch))
            outputs = unbound(output) if replicas.lead else [output]
            for i in recorded:
                whole = joined([outputs[i]], 0, dtype_of(precision))
                for name in list(measures):
                    given = outputs[i] if name == "valid_loss" else whole
                    try:
                        values = measures[name](given, target)
                    except Exception:  # custom code that takes whole batches only
                        del measures[name]
                        continue
                    found.setdefault((i, name), []).append(values)
    tolerance = tolerance_of(precision)
    return {
        i: kept
        for i, whole in recorded.items()
        if (kept := of_seed(each, {name: found[i, name] for name in measures}, whole, tolerance)) is not None
    }


def validate(assembly: Assembly, *, watched: bool = True) -> dict[str, Tensor]:
    """``valid_loss``, the metrics on the validation set and, if required in every epoch, ``train_loss_clean``; (R,).

    ``watched``: pass the predictions to tracked metrics.
    """
    values = evaluate(assembly, assembly.valid, metrics=True, watched=watched)
    values = {"valid_loss": values.pop("loss"), **values}
    if assembly.settings.clean_train_loss == "every" or assembly.tracked.clean:
        values["train_loss_clean"] = evaluate(assembly, assembly.train_clean, metrics=False)["loss"]
    return values


@contextmanager
def evaluation_weights(assembly: Assembly) -> Iterator[None]:
    """Inside, the networks have the weights from `Trick.evaluation_weights`, if any; afterwards their own again.

    Raises ValueError for unknown names of weights.
    """
    trick = assembly.judged
    weights = trick.evaluation_weights() if trick is not None else None
    if trick is None or weights is None:
        yield
        return
    state = assembly.replicas.state()
    if odd := next((name for name in weights if name not in state), None):
        raise ValueError(f"evaluation weights (={odd}) must have the names of the network's parameters.")
    live = {name: tensor.clone() for name, tensor in state.items()}
    try:
        # one by one: load() with all weights would reset a weight that two layers share, under its second name
        for name, weight in weights.items():
            state[name].copy_(weight)
        if trick.fresh_norms:
            measure_norms(assembly)
        yield
    finally:
        assembly.replicas.load(live)


def measure_norms(assembly: Assembly) -> None:
    """Set the running statistics of batch norm to their mean over the training set, without augmentation or dropout.

    Like `torch.optim.swa_utils.update_bn`, except that batches are weighted by their size and dropout is off. Costs a
    forward pass over the training set if the network has batch norm.
    """
    replicas = assembly.replicas
    layers = [layer for layer in batch_norms(replicas.template) if layer.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    replicas.eval()
    seen = 0
    try:
        for layer in layers:
            layer.training = True
        with torch.no_grad(), autocast(assembly.device, assembly.settings.precision):
            for inputs, targets in assembly.train_norms.batches(None):
                seen += length(inputs)
                for layer in layers:
                    layer.momentum = length(inputs) / seen
                replicas.predict(assembly.given(inputs, targets))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        replicas.eval()
