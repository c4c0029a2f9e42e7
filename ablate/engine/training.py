"""The training loop. The docstring of ``ablate/tricks/trick.py`` shows it as pseudocode with all hooks.

Losses are accumulated on the device: nothing synchronizes within an epoch. Values per seed are arrays over the R seeds of the stack.
Seeds that cannot be stacked train side by side, an epoch of each in turn.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Batch, Parts
from ablate.engine.assembly import Assembly
from ablate.engine.averaged_weights import evaluation_weights
from ablate.engine.contract import Assignment, Outcome, Report
from ablate.engine.evaluation import evaluate
from ablate.engine.stacks import begin, job_facts, job_state
from ablate.engine.step_closure import Passes, grouped
from ablate.engine.training_state import Standing

if TYPE_CHECKING:
    from torch import Tensor


def train(
    assignment: Assignment, data: Parts, report: Report, resume: Mapping[str, Any] | None = None
) -> Sequence[Outcome]:
    """Train a job's seeds to their end (`Trainer`): together as a stack, or side by side. Returns each seed's outcome; raises what goes wrong for all."""
    standings = begin(assignment, data, resume)
    if resume is None:
        for standing in standings:
            standing.assembly.between_epochs(0)
    report.started(job_facts(standings))
    began = time.monotonic()
    for epoch in range(max(standing.epoch for standing in standings) + 1, assignment.settings.epochs + 1):
        for standing in standings:
            if not standing.active():
                continue
            assembly = standing.assembly
            train_loss = train_epoch(assembly, epoch)
            with evaluation_weights(assembly):
                values = {"train_loss": train_loss, **validate(assembly)}
                numbers = {name: value.double().cpu().numpy() for name, value in values.items()}
                watched = assembly.watching.numbers(assembly, epoch, numbers)
                stop = standing.take(epoch, numbers | watched)
                for hook in assembly.hooks("on_epoch"):
                    wish = hook(epoch, numbers)
                    stop = stop if wish is None else stop | wish
                now = time.monotonic()
                standing.seconds += now - began
                began = now
                for replica in standing.active():
                    report.epoch(standing.first + replica, standing.line(replica, epoch, numbers | watched))
                standing.stop(stop)
            if standing.active() and epoch < assignment.settings.epochs:
                assembly.between_epochs(epoch)
        if not any(standing.active() for standing in standings):
            break
        if epoch < assignment.settings.epochs and report.due(epoch):
            report.checkpoint(job_state(epoch, standings))
    return [outcome for standing in standings for outcome in finish(standing, report)]


def finish(standing: Standing, report: Report) -> list[Outcome]:
    """How each seed of a stack ended, by the weights that its last epoch was judged by."""
    with evaluation_weights(standing.assembly):
        return standing.finish(report)


def train_epoch(assembly: Assembly, epoch: int) -> Tensor:
    """One pass over the training part. Returns the mean loss as trained, (R,), weighted by samples, still on the device."""
    optimizer, on_batch, on_weights = assembly.optimizer, assembly.hooks("on_batch"), assembly.hooks("on_weights")
    passes = Passes(assembly)
    step = (epoch - 1) * assembly.steps_per_epoch
    total: Tensor | float = 0.0
    weight: Tensor | int = 0

    assembly.begin_epoch(epoch)
    assembly.replicas.train()
    for group in grouped(assembly.train.batches(assembly.order(epoch)), assembly.batches_per_step):
        for setter in assembly.setters:
            setter(step)
        batches = [Batch(inputs, targets, targets, assembly.spec) for inputs, targets in group]
        for hook in on_batch:
            batches = [hook(batch) for batch in batches]
        passes.begin(batches)
        if assembly.wants_closure:
            optimizer.step(passes)  # type: ignore[arg-type]
        else:
            passes()
            optimizer.step()
        for hook in on_weights:
            hook(assembly.replicas.parameters)
        if step == 0:
            assembly.first_loss = passes.loss
        total = total + passes.loss * passes.weight
        weight = weight + passes.weight
        step += 1
    return (total / weight).reshape(-1)  # type: ignore[union-attr]


def validate(assembly: Assembly) -> dict[str, Tensor]:
    """``valid_loss``, the recipe's metrics on the validation part and, where every epoch is asked for, ``train_loss_clean``; each (R,)."""
    values = evaluate(assembly, assembly.valid, metrics=True, watched=True)
    values = {"valid_loss": values.pop("loss"), **values}
    if assembly.settings.clean_train_loss == "every" or assembly.watching.clean:
        values["train_loss_clean"] = evaluate(assembly, assembly.train_clean, metrics=False)["loss"]
    return values
