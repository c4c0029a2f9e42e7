"""Evaluates the combined predictions of trained variants: a variant with `joined` is not trained."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ablate.data.dataset import Part, Parts
from ablate.engine.contract import Assignment, Facts, Outcome, Report, State
from ablate.engine.data_checks import has_gaps
from ablate.engine.example_values import examples_of, of_each_example
from ablate.engine.measures import make_loss, make_metric
from ablate.engine.predicting import Trained, predict
from ablate.trainers.shared.leakage import same_rows

if TYPE_CHECKING:
    from torch import Tensor


def judge(assignment: Assignment, data: Parts, report: Report, resume: State | None = None) -> Sequence[Outcome]:
    """A `Trainer` that only evaluates: loss and metrics on the validation (and test) set of ``data``, seed by seed.

    There is no training loss, because members may have different training sets. Raises ValueError if a member has other
    data, or if no member predicts an output.
    """
    settings, spec, folder = assignment.settings, data.spec, assignment.folder
    for row, below in settings.sources.items():
        if not same_rows(settings, below):
            raise ValueError(f"joined (={row}) must be trained on the data of this variant ({settings.data.label}).")
    loss, weight = make_loss(settings.loss, spec, folder, missing=has_gaps(data), targets=data.train.targets)
    measures = {"loss": loss} | {choice.label: make_metric(choice, spec, folder) for choice in settings.metrics}
    each = of_each_example(settings, spec, data.valid, loss, weight)
    runs = [joined_run(assignment, seed) for seed in assignment.seeds]
    report.started(Facts(parameters=parameters(runs[0]), data=data.notes, joined=settings.joined))
    outcomes = []
    for replica, (seed, run) in enumerate(zip(assignment.seeds, runs, strict=True)):
        began = time.monotonic()
        values: dict[str, float] = {}
        examples = None
        for prefix, part in (("valid_", data.valid), ("test_", data.test)):
            if part is None:
                continue
            prediction, _ = predict(run, part)
            for name, measure in measures.items():
                key = f"{prefix}{name}" if name == "loss" or prefix == "test_" else name
                values[key] = float(measure(prediction, targets_of(part)))
            if part is data.valid:
                examples = examples_of(each, prediction, targets_of(part), values, settings.precision)
        known = {key: value if math.isfinite(value) else None for key, value in values.items()}
        line = {"epoch": 1, "time": time.time(), "seconds": round(time.monotonic() - began, 4), **known}
        report.epoch(replica, line)
        results = dict.fromkeys(("selected", "last", "best"), values)
        outcomes.append(Outcome(seed, "finished", 1, "", 1, 1, results, examples=examples))
        report.ended(replica, outcomes[-1])
    return outcomes


def joined_run(assignment: Assignment, seed: int) -> Trained:
    """A variant with ``joined`` for one seed, with its members and their weights."""
    own = Trained(
        assignment.settings,
        seed,
        assignment.folder,
        fold=assignment.fold,
        folds=assignment.folds,
        device=assignment.device,
    )
    members = {
        row: replace(own, settings=below, weights=assignment.weights[row, seed])
        for row, below in assignment.settings.sources.items()
    }
    return replace(own, members=members)


def targets_of(part: Part) -> Tensor:
    """The targets of a dataset. Raises ValueError if it is streamed."""
    if part.targets is None:
        raise ValueError("joined requires data with targets in memory, but they are streamed.")
    return cast("Tensor", part.targets)


def parameters(run: Trained) -> int:
    """The number of parameters of all members."""
    from ablate.tricks.from_weights import read_weights

    total = 0
    for member in (run.members or {}).values():
        assert member.weights is not None
        total += sum(t.numel() for t in read_weights(member.weights).values() if t.is_floating_point())
    return total
