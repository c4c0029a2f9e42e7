"""The trained networks of several seeds as one predictor: the mean of what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.data.dataset import Parts
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.device import autocast, dtype_of
from ablate.registry.lazy import torch
from ablate.tricks.shared.mean_prediction import MeanPrediction

if TYPE_CHECKING:
    from torch import Tensor


def seed_ensemble(assignment: Assignment, data: Parts, weights: Mapping[int, Mapping[str, Tensor]]) -> dict[str, float]:
    """``valid_loss`` and the metrics of the mean prediction of all seeds of an assignment, on the validation part.

    ``weights`` are each seed's own, as the record keeps them; how the seeds were trained, as a stack or one after another, makes no difference.
    """
    settings = assignment.settings.replace(watch=())
    mean: MeanPrediction | None = None
    for seed in assignment.seeds:
        one = assemble(replace(assignment, settings=settings, seeds=(seed,)), data)
        mean = mean or MeanPrediction(one.spec)
        one.replicas.load(weights[seed])
        one.replicas.eval()
        predictions, targets = [], []
        with torch.no_grad(), autocast(one.device, settings.precision):
            for batch, (inputs, target) in enumerate(one.valid.batches(None)):
                predictions.append(one.predict(inputs, batch))
                targets.append(target)
        mean.add(torch.cat(predictions).to(dtype_of(settings.precision)))
    assert mean is not None
    prediction, target = mean.mean(), torch.cat(targets)
    with torch.no_grad():
        found = {"valid_loss": one.loss(prediction, target)}
        found |= {name: torch.as_tensor(measure(prediction, target)) for name, measure in one.metrics.items()}
    return {name: float(value) for name, value in found.items()}
