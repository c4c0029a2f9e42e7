"""The losses of the first steps of a training with given learning rates, for a learning-rate range test."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ablate.data.dataset import Parts
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.contract import Assignment
from ablate.engine.evaluation import evaluate, evaluation_weights
from ablate.engine.rehearsal import ENOUGH, spread
from ablate.engine.replicas import CannotStack
from ablate.engine.step_closure import StepClosure, grouped
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch

Floats = NDArray[np.float64]

STOP, BEGINNING = 4.0, 10
"""A loss has exploded if it is more than `STOP` times the largest of the first `BEGINNING` losses."""


@dataclass(frozen=True)
class Steps:
    """The first steps of R seeds: the training ``losses`` (R, steps), each before the step, NaN after the loss has
    exploded for all of them; the validation losses ``valid`` (R,), the mean over some steps, NaN if it has exploded
    before; and the gradient noise scale in samples, if the settings track it.
    """

    losses: Floats
    valid: Floats
    noise_scale: float | None = None


def take_steps(assignment: Assignment, data: Parts, rates: Floats, evaluated: Collection[int] = ()) -> Steps:
    """Train R seeds for some steps with these learning rates (steps,), and evaluate them after the steps ``evaluated``,
    counted from 1.

    Seeds are stacked if they can be. Parameter groups keep the ratios of their learning rates. Other schedules stay at
    their first values, and so do the changes that tricks make to the learning rate. Raises ValueError for an optimizer
    without a learning rate.
    """
    try:
        return _take(assemble(assignment, data), rates, evaluated)
    except CannotStack:
        alone = [replace(assignment, seeds=(seed,)) for seed in assignment.seeds]
        each = [_take(assemble(one, data), rates, evaluated) for one in alone]
        scales = [one.noise_scale for one in each if one.noise_scale is not None]
        losses, valid = (np.concatenate(parts) for parts in ([s.losses for s in each], [s.valid for s in each]))
        return Steps(losses, valid, float(np.median(scales)) if scales else None)


def _take(assembly: Assembly, rates: Floats, evaluated: Collection[int]) -> Steps:
    losses = np.full((len(assembly.seeds), len(rates)), np.nan)
    valid = np.full((len(assembly.seeds), len(evaluated)), np.nan)
    set_rates(assembly, rates)
    assembly.between_epochs(0)
    assembly.replicas.train()
    steps = StepClosure(assembly)
    for step, batches in enumerate(islice(_steps(assembly), len(rates))):
        steps.take(batches, step)
        losses[:, step] = of_seeds(steps.loss)
        if exploded(losses[:, : step + 1]).all():
            break
        if step + 1 in evaluated:
            with steps.paused(), evaluation_weights(assembly):
                samples = spread(assembly.valid, ENOUGH) if assembly.valid.ordered else None
                found = evaluate(assembly, assembly.valid, metrics=False, samples=samples)
                valid[:, sorted(evaluated).index(step + 1)] = of_seeds(found["loss"])
    tracked = assembly.tracked.numbers(1, {}) if assembly.tracked.watches else {}
    scales = tracked.get("noise_scale", np.array([np.nan]))
    scale = float(np.nanmedian(scales)) if np.isfinite(scales).any() else None
    return Steps(losses, valid.mean(axis=1) if evaluated else valid.sum(axis=1), scale)


def of_seeds(loss: Tensor) -> Floats:
    """A loss, 0-d or (R,), as (R,) numbers."""
    numbers: Floats = loss.detach().double().reshape(-1).cpu().numpy()
    return numbers


def exploded(losses: Floats) -> NDArray[np.bool_]:
    """Which seeds (R,) have losses (R, steps) of which the last is not finite, or far above the largest of the first
    ones.
    """
    first = np.abs(losses[:, :BEGINNING]).max(axis=1)
    small: NDArray[np.bool_] = np.abs(losses[:, -1]) <= STOP * first
    return ~small


def _steps(assembly: Assembly) -> Iterator[list[Batch]]:
    """The batches of each step, of one epoch after another."""
    for epoch in count(1):
        assembly.begin_epoch(epoch)
        yield from grouped(assembly.batches(epoch), assembly.batches_per_step)


def set_rates(assembly: Assembly, rates: Floats) -> None:
    """Make the steps of a training use these learning rates. Raises ValueError."""
    groups = assembly.optimizer.param_groups
    if any("lr" not in group for group in groups):
        raise ValueError(f"optimizer (={assembly.settings.optimizer.label}) must have a learning rate.")
    for setter in assembly.setters:
        setter(0)
    begins = [float(torch.as_tensor(group["lr"]).max()) for group in groups]
    largest = max(begins) or 1.0
    shares = [begin / largest if any(begins) else 1.0 for begin in begins]

    def set_rate(step: int) -> None:
        for group, share in zip(groups, shares, strict=True):
            old = group["lr"]
            new = float(rates[step]) * share
            group["lr"] = torch.full_like(old, new) if isinstance(old, torch.Tensor) else new

    assembly.setters = [set_rate]
