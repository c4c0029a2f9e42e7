"""Trains an assignment, or evaluates the combined predictions of a variant with ``joined``."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.data.load import load_parts
from ablate.engine.contract import Assignment, Outcome, Report, State
from ablate.engine.training import train as train_loop
from ablate.trainers.joined import judge
from ablate.trainers.leakage import check_leaks


def train(assignment: Assignment, report: Report, state: State | None = None) -> Sequence[Outcome]:
    """Load the data, then run the training loop; for a variant that joins others, evaluate these together.

    ``state`` is the checkpoint to continue from. Raises whatever goes wrong for all seeds.
    """
    settings = assignment.settings
    double = settings.precision == "float64"
    parts = load_parts(settings.data, assignment.folder, assignment.folds, assignment.fold, double=double)
    if settings.sources:
        check_leaks(assignment, parts)
    return (judge if settings.joined else train_loop)(assignment, parts, report, state)
