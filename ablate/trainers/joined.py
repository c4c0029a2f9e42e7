"""Rows that train nothing: several trained rows, each with its part of the answer, judged as one on the same samples."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Part, Parts
from ablate.engine.contract import Assignment, Outcome, Report
from ablate.engine.measures import has_gaps, make_loss, make_metric
from ablate.engine.predicting import Trained, predict
from ablate.trainers.leakage import same_rows

if TYPE_CHECKING:
    from torch import Tensor


def judge(
    assignment: Assignment, data: Parts, report: Report, resume: Mapping[str, Any] | None = None
) -> Sequence[Outcome]:
    """Judge joined rows as a `Trainer` does trainings: loss and metrics on the validation part (and test part) of ``data``, seed by seed.

    There is no train loss, as each member has other samples to train. Raises ValueError where a member's rows cannot be those of ``data``, or an output is
    predicted by none.
    """
    settings, spec, folder = assignment.settings, data.spec, assignment.folder
    for row, below in settings.sources.items():
        if not same_rows(settings, below):
            raise ValueError(
                f"joined (={row}) is trained on other data than '{settings.data.label}' of this row, so its inputs would not fit."
            )
    loss, _ = make_loss(settings.loss, spec, folder, missing=has_gaps(data), targets=data.train.targets)
    measures = {"loss": loss} | {choice.label: make_metric(choice, spec, folder) for choice in settings.metrics}
    runs = [joined_run(assignment, seed) for seed in assignment.seeds]
    report.started(
        {"parameters": parameters(runs[0]), "notes": [], "data": dict(data.notes), "joined": list(settings.joined)}
    )
    outcomes = []
    for replica, (seed, run) in enumerate(zip(assignment.seeds, runs, strict=True)):
        began = time.monotonic()
        values: dict[str, float] = {}
        for prefix, part in (("valid_", data.valid), ("test_", data.test)):
            if part is None:
                continue
            prediction, _ = predict(run, part)
            for name, measure in measures.items():
                key = f"{prefix}{name}" if name == "loss" or prefix == "test_" else name
                values[key] = float(measure(prediction, targets_of(part)))
        known = {key: value if math.isfinite(value) else None for key, value in values.items()}
        line = {"epoch": 1, "time": time.time(), "seconds": round(time.monotonic() - began, 4), **known}
        report.epoch(replica, line)
        results = dict.fromkeys(("selected", "last", "best"), values)
        outcomes.append(Outcome(seed, "finished", 1, "", 1, 1, results))
        report.ended(replica, outcomes[-1])
    return outcomes


def joined_run(assignment: Assignment, seed: int) -> Trained:
    """A joined row of one seed, with its members' weights as the study hands them in."""
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
    """A part's targets. Raises ValueError for what is streamed."""
    if part.targets is None:
        raise ValueError("joined needs data whose targets are in memory; they are streamed.")
    return part.targets


def parameters(run: Trained) -> int:
    """Of all members together."""
    from ablate.tricks.from_weights import read_weights

    total = 0
    for member in (run.members or {}).values():
        assert member.weights is not None
        total += sum(t.numel() for t in read_weights(member.weights).values() if t.is_floating_point())
    return total
