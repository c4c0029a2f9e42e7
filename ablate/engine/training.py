"""The training loop.

What happens, and where a trick's hooks come in::

    data, network, optimizer, tricks are assembled      (assembly.py: on_data, on_model)
    for epoch:
        for batch in the seed's order:
            scheduled values are set
            batch      = on_batch(batch, noise)
            prediction = network(batch.inputs)
            loss       = on_loss(loss(prediction, batch.targets), prediction, batch)
            gradients of loss; on_gradients; optimizer step; on_weights
        losses are read once from the device; validation in evaluation mode
        best weights are kept; on_epoch says who stops; the report hears of it all

Losses add up on the device: nothing waits for it inside an epoch. All that is said per seed is an array over the R seeds of the stack.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Batch, Parts
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.device import autocast
from ablate.engine.evaluation import evaluate
from ablate.engine.standing import Standing
from ablate.engine.trainer import Assignment, Outcome, Report

if TYPE_CHECKING:
    from torch import Tensor


def train(
    assignment: Assignment, data: Parts, report: Report, resume: Mapping[str, Any] | None = None
) -> Sequence[Outcome]:
    """Train a stack of seeds to its end (`Trainer`). Returns each seed's outcome; raises what goes wrong for all of them."""
    assembly = assemble(assignment, data)
    standing = Standing(assembly)
    if resume is not None:
        standing.restore(resume)
    report.started(assembly.facts)
    began = time.monotonic()
    for epoch in range(standing.epoch + 1, assembly.settings.epochs + 1):
        train_loss = train_epoch(assembly, epoch)
        values = {"train_loss": train_loss, **validate(assembly)}
        numbers = {name: value.double().cpu().numpy() for name, value in values.items()}
        stop = standing.take(epoch, numbers)
        for hook in assembly.hooks("on_epoch"):
            wish = hook(epoch, numbers)
            stop = stop if wish is None else stop | wish
        now = time.monotonic()
        standing.seconds += now - began
        began = now
        for replica in standing.active():
            report.epoch(replica, standing.line(replica, epoch, numbers))
        standing.stop(stop)
        if standing.active() and epoch < assembly.settings.epochs and report.due(epoch):
            report.checkpoint(standing.state())
        if not standing.active():
            break
    return standing.finish(report)


def train_epoch(assembly: Assembly, epoch: int) -> Tensor:
    """One pass over the training part. Returns the mean loss as trained, (R,), weighted by samples, still on the device."""
    network, optimizer, settings, spec = assembly.network, assembly.optimizer, assembly.settings, assembly.spec
    on_batch, on_loss = assembly.hooks("on_batch"), assembly.hooks("on_loss")
    on_gradients, on_weights = assembly.hooks("on_gradients"), assembly.hooks("on_weights")
    parameters = dict(network.named_parameters())
    mixed = autocast(assembly.device, settings.precision)
    step = (epoch - 1) * assembly.train.steps
    total: Tensor | float = 0.0
    weight: Tensor | int = 0

    assembly.begin_epoch(epoch)
    network.train()
    for inputs, targets in assembly.train.batches(assembly.order(epoch)):
        for setter in assembly.setters:
            setter(step)
        batch = Batch(inputs, targets, targets, spec)
        for hook in on_batch:
            batch = hook(batch)
        with mixed:
            prediction = network(batch.inputs)
            loss = assembly.loss(prediction, batch.targets)
        for hook in on_loss:
            loss = hook(loss, prediction, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
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
