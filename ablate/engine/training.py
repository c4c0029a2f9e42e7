"""The training loop; `ablate.tricks.trick` shows where it calls the hooks of tricks.

Losses are summed on the device: nothing waits for it within an epoch. Values per seed are arrays over the R seeds of
the stack. Stacks, and seeds that cannot be stacked, take turns: one epoch each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ablate.data.dataset import Parts
from ablate.engine.assembly import Assembly
from ablate.engine.contract import Assignment, Outcome, Report, State
from ablate.engine.evaluation import evaluation_weights, validate
from ablate.engine.stacks import begin, job_facts, job_state
from ablate.engine.step_closure import StepClosure, grouped
from ablate.engine.training_state import Laps, TrainingState

if TYPE_CHECKING:
    from torch import Tensor


def train(assignment: Assignment, data: Parts, report: Report, resume: State | None = None) -> Sequence[Outcome]:
    """Train the seeds of a job (`Trainer`) and return each seed's outcome. Raises errors that concern all seeds."""
    stacks = begin(assignment, data, resume)
    if resume is None:
        for stack in stacks:
            stack.assembly.between_epochs(0)
    report.started(job_facts(stacks))
    laps = Laps()
    epochs = stacks[0].assembly.last_epoch
    for epoch in range(max(stack.epoch for stack in stacks) + 1, epochs + 1):
        for stack in stacks:
            if not stack.active():
                continue
            assembly = stack.assembly
            train_loss = train_epoch(assembly, epoch, partial(stack.evaluate, report, laps))
            with evaluation_weights(assembly):
                values = {"train_loss": train_loss, **validate(assembly)}
                numbers = {name: value.double().cpu().numpy() for name, value in values.items()}
                watched = assembly.tracked.numbers(epoch, numbers)
                stop = stack.take(numbers | watched)
                for hook in assembly.hooks("on_epoch"):
                    wish = hook(epoch, numbers)
                    stop = stop if wish is None else stop | wish
                stack.report(report, laps, numbers | watched)
                stack.stop(stop)
            if stack.active() and epoch < epochs:
                assembly.between_epochs(epoch)
        if not any(stack.active() for stack in stacks):
            break
        if epoch < epochs and report.due(epoch):
            report.checkpoint(job_state(epoch, stacks))
    return [outcome for stack in stacks for outcome in finish(stack, report)]


def finish(stack: TrainingState, report: Report) -> list[Outcome]:
    """The outcome of each seed of a stack, with the weights that its last epoch was evaluated with."""
    with evaluation_weights(stack.assembly):
        return stack.finish(report)


def train_epoch(assembly: Assembly, epoch: int, evaluate: Callable[[Tensor], None] | None = None) -> Tensor:
    """One pass over the training set, or the last part of one. Returns its mean training loss (R,), on the device.

    ``evaluate`` gets the mean so far at the points of the epoch before its end.
    """
    steps = StepClosure(assembly)
    step = (epoch - 1) * assembly.steps_per_epoch
    total: Tensor | float = 0.0
    weight: Tensor | int = 0

    assembly.begin_epoch(epoch)
    assembly.replicas.train()
    for group in islice(grouped(assembly.batches(epoch), assembly.batches_per_step), assembly.steps_left(step)):
        steps.take(group, step)
        if step == 0:
            assembly.first_loss = steps.loss
        total = total + steps.terms * steps.weight
        weight = weight + steps.weight
        step += 1
        if evaluate is not None and assembly.points.between(step):
            with steps.paused():
                evaluate(assembly.mean_loss(total, weight).reshape(-1))
    return assembly.mean_loss(total, weight).reshape(-1)  # type: ignore[arg-type]
