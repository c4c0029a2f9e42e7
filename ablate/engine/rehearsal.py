"""Tries a training before it is started: as a job builds it, for one step and one evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.data.dataset import Parts
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.contract import Assignment
from ablate.engine.evaluation import evaluate, evaluation_weights
from ablate.engine.step_closure import StepClosure
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.loaders import Loader

SAMPLES = 2
ENOUGH = 512
"""Number of validation samples of a second attempt: code may require several, or more than one class."""


def rehearse(assignment: Assignment, data: Parts) -> Assembly:
    """Build the training of one seed, take a step and evaluate it, on two samples each.

    If that fails, on a whole batch: two may be too few. Where there is a GPU, an error on the CPU does not count before
    it occurs there, too. Raises what the job would raise.
    """
    try:
        return _attempt(assignment, data)
    except Exception:
        if not torch.cuda.is_available() or assignment.device != "cpu":
            raise
        return _attempt(replace(assignment, device="cuda:0"), data)


def _attempt(assignment: Assignment, data: Parts) -> Assembly:
    assembly = assemble(assignment, data)
    if assignment.settings.source_rows:  # it starts from weights that are not there yet
        return assembly
    try:
        _step(assembly, SAMPLES, SAMPLES)
    except Exception:
        size = assignment.settings.batch_size
        _step(assembly, size, max(size, ENOUGH))
    return assembly


def _step(assembly: Assembly, train: int, valid: int) -> None:
    assembly.between_epochs(0)
    assembly.begin_epoch(1)
    assembly.replicas.train()
    StepClosure(assembly).take(list(assembly.batches(1, spread(assembly.train, train))), 0)
    with evaluation_weights(assembly):
        evaluate(assembly, assembly.valid, metrics=True, watched=True, samples=spread(assembly.valid, valid))


def spread(loader: Loader, count: int) -> Tensor:
    """The positions of at most ``count`` samples, evenly spaced over a split."""
    return torch.linspace(0, len(loader) - 1, min(count, len(loader))).long()
