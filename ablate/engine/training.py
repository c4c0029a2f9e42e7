"""The training loop.

What happens, and where a trick's hooks come in::

    data, network, optimizer, tricks are assembled      (assembly.py: on_data, on_model)
    for epoch:
        for batch in the seed's order:
            scheduled values are set
            batch      = on_batch(batch, noise)
            prediction = replicas.forward(batch.inputs)
            loss       = on_loss(loss(prediction, batch.targets), prediction, batch)
            gradients of loss; on_gradients; optimizer step; on_weights
        losses are read once from the device; validation in evaluation mode
        best weights are kept; on_epoch says who stops; the report hears of it all

Losses add up on the device: nothing waits for it inside an epoch. All that is said per seed is an array over the R seeds of the stack; seeds that cannot be a
stack train side by side, an epoch of each in turn.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Batch, Parts
from ablate.engine.assembly import Assembly
from ablate.engine.device import autocast
from ablate.engine.evaluation import evaluate
from ablate.engine.grouping import begin, job_facts, job_state
from ablate.engine.trainer import Assignment, Outcome, Report

if TYPE_CHECKING:
    from torch import Tensor


def train(
    assignment: Assignment, data: Parts, report: Report, resume: Mapping[str, Any] | None = None
) -> Sequence[Outcome]:
    """Train a job's seeds to their end (`Trainer`): together as a stack, or side by side. Returns each seed's outcome; raises what goes wrong for all."""
    standings = begin(assignment, data, resume)
    report.started(job_facts(standings))
    began = time.monotonic()
    for epoch in range(max(standing.epoch for standing in standings) + 1, assignment.settings.epochs + 1):
        for standing in standings:
            if not standing.active():
                continue
            train_loss = train_epoch(standing.assembly, epoch)
            values = {"train_loss": train_loss, **validate(standing.assembly)}
            numbers = {name: value.double().cpu().numpy() for name, value in values.items()}
            stop = standing.take(epoch, numbers)
            for hook in standing.assembly.hooks("on_epoch"):
                wish = hook(epoch, numbers)
                stop = stop if wish is None else stop | wish
            now = time.monotonic()
            standing.seconds += now - began
            began = now
            for replica in standing.active():
                report.epoch(standing.first + replica, standing.line(replica, epoch, numbers))
            standing.stop(stop)
        if not any(standing.active() for standing in standings):
            break
        if epoch < assignment.settings.epochs and report.due(epoch):
            report.checkpoint(job_state(epoch, standings))
    return [outcome for standing in standings for outcome in standing.finish(report)]


def train_epoch(assembly: Assembly, epoch: int) -> Tensor:
    """One pass over the training part. Returns the mean loss as trained, (R,), weighted by samples, still on the device."""
    replicas, optimizer, settings, spec = assembly.replicas, assembly.optimizer, assembly.settings, assembly.spec
    on_batch, on_loss = assembly.hooks("on_batch"), assembly.hooks("on_loss")
    on_gradients, on_weights = assembly.hooks("on_gradients"), assembly.hooks("on_weights")
    parameters = replicas.parameters
    mixed = autocast(assembly.device, settings.precision)
    step = (epoch - 1) * assembly.train.steps
    total: Tensor | float = 0.0
    weight: Tensor | int = 0

    assembly.begin_epoch(epoch)
    replicas.train()
    for inputs, targets in assembly.train.batches(assembly.order(epoch)):
        for setter in assembly.setters:
            setter(step)
        batch = Batch(inputs, targets, targets, spec)
        for hook in on_batch:
            batch = hook(batch)
        with mixed:
            prediction = replicas.forward(batch.inputs)
            loss = assembly.loss(prediction, batch.targets)
        for hook in on_loss:
            loss = hook(loss, prediction, batch)
        optimizer.zero_grad()
        replicas.backward(loss)
        for hook in on_gradients:
            hook(parameters)
        optimizer.step()
        for hook in on_weights:
            hook(parameters)
        share = assembly.loss_weight(batch.targets)
        total = total + loss.detach() * share
        weight = weight + share
        step += 1
    return (total / weight).reshape(-1)  # type: ignore[union-attr]


def validate(assembly: Assembly) -> dict[str, Tensor]:
    """``valid_loss``, the recipe's metrics on the validation part and, where every epoch is asked for, ``train_loss_clean``; each (R,)."""
    values = evaluate(assembly, assembly.valid, metrics=True)
    values = {"valid_loss": values.pop("loss"), **values}
    if assembly.settings.clean_train_loss == "every":
        values["train_loss_clean"] = evaluate(assembly, assembly.train_clean, metrics=False)["loss"]
    return values
