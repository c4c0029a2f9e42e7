"""Losses and metrics in evaluation mode: no dropout, no augmentation, no penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.data.loaders import Loader
from ablate.engine.device import autocast, dtype_of
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.engine.assembly import Assembly


def evaluate(assembly: Assembly, loader: Loader, *, metrics: bool, watched: bool = False) -> dict[str, Tensor]:
    """``loss`` and, with ``metrics``, the recipe's metrics over a data set: each (R,), on the device.

    ``watched``: pass the predictions to tracked metrics.
    """
    replicas = assembly.replicas
    replicas.eval()
    total: Tensor | float = 0.0
    weight: Tensor | int = 0
    watched = watched and assembly.tracked.valid
    kept = watched or (metrics and bool(assembly.metrics))
    predictions, targets = [], []
    with torch.no_grad(), autocast(assembly.device, assembly.settings.precision):
        for batch, (inputs, target) in enumerate(loader.batches(None)):
            prediction, target = assembly.predict(inputs, batch), replicas.shared(target)
            share = assembly.loss_weight(target)
            total = total + assembly.loss(prediction, target) * share
            weight = weight + share
            if kept:
                predictions.append(prediction)
                targets.append(target)
        values = {"loss": total / weight}
        if predictions:
            prediction = torch.cat(predictions, dim=replicas.lead).to(dtype_of(assembly.settings.precision))
            target = torch.cat(targets, dim=replicas.lead)
            if metrics:
                for name, measure in assembly.metrics.items():
                    values[name] = torch.as_tensor(measure(prediction, target))
            if watched:
                assembly.tracked.show_valid(prediction, target)
    return {name: torch.as_tensor(value, device=assembly.device).reshape(-1) for name, value in values.items()}
