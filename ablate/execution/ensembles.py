"""Evaluates the mean prediction of the trained networks of each variant's seeds, without training.

The networks, which may be the user's code, are built in a helper process. Results are cached in the study's folder.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.execution.jobs import weights_file
from ablate.execution.predictions import predicts
from ablate.planning.helper_process import asked
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe import Settings
from ablate.store.disk import StoredFile
from ablate.store.store import Store

Values = dict[str, float] | str
"""The metrics of a mean prediction, or why there are none."""


@dataclass(frozen=True)
class Ensemble:
    """The ensemble of a variant's seeds. It has one value per metric, so there is no variance and no verdict.

    ``together``: loss and metrics of the mean prediction; ``single``: means over the seeds; ``reason``: why there is
    none.
    """

    variant: str
    seeds: tuple[int, ...] = ()
    together: dict[str, float] = field(default_factory=dict)
    single: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def label(self) -> str:
        """The name for display, different from the variant's."""
        return f"{self.variant} (ensemble of {len(self.seeds)} seeds)" if self.together else self.variant


def ensembles(plan: Plan, store: Store) -> list[Ensemble]:
    """The ensemble of the finished seeds of each variant; computed if not cached."""
    path = store.study_folder(plan.recipe.study) / "ensembles.json"
    known: dict[str, Values] = {**(store.read(path, dict[str, dict[str, float]]) or {})}
    rows = {
        variant.name: [run for run in plan.runs_of(variant.name) if run.record.status == "finished"]
        for variant in plan.recipe.variants
    }
    missing = {key: runs for runs in rows.values() if why_none(runs) is None and not known.get(key := key_of(runs))}
    if missing:
        known |= zip(missing, ask(plan, store, list(missing.values())), strict=True)
        current = {key_of(runs) for runs in rows.values() if runs}
        kept = {key: found for key, found in known.items() if key in current and not isinstance(found, str)}
        store.write_json(path, kept)
    return [described(name, runs, known) for name, runs in rows.items()]


def key_of(runs: Sequence[PlannedRun]) -> str:
    """The cache key of an ensemble: its runs with their end times, because a retrained run has new weights."""
    text = ",".join(f"{run.fingerprint}@{run.record.finished}" for run in runs)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def why_none(runs: Sequence[PlannedRun]) -> str | None:
    """Why the finished runs of a variant have no ensemble; None if they have one."""
    if any(run.record.fold is not None for run in runs):
        return "its folds have different validation sets"
    if any(run.variant.settings.joined for run in runs):
        return "it combines the predictions of other variants ('joined')"
    if not all(predicts(run) for run in runs):
        return "it is trained by your own code"
    return f"at least 2 finished seeds are required, but it has {len(runs)}" if len(runs) < 2 else None


def described(name: str, runs: Sequence[PlannedRun], known: Mapping[str, Values]) -> Ensemble:
    """The ensemble of one variant."""
    seeds, reason = tuple(run.seed for run in runs), why_none(runs)
    values = known[key_of(runs)] if reason is None else ""
    if isinstance(values, str) or not values:
        return Ensemble(name, seeds, reason=reason or str(values or "no finite metrics"))
    own = [run.record.results.get("selected", {}) for run in runs]
    single = {key: math.fsum(v[key] / len(own) for v in own) for key in values if all(key in v for v in own)}
    return Ensemble(name, seeds, values, single)


def ask(plan: Plan, store: Store, groups: Sequence[Sequence[PlannedRun]]) -> list[Values]:
    """The metrics of each group of runs from a helper process, or an error in one line."""
    questions = []
    for runs in groups:
        settings = runs[0].variant.settings
        weights = {run.seed: weights_file(store, run.fingerprint, settings) for run in runs}
        questions.append((settings, weights, plan.recipe.folder))
    return asked(evaluated, questions, str)


def evaluated(settings: Settings, files: Mapping[int, StoredFile], folder: Path) -> dict[str, float]:
    """The finite metrics of one group, from its weights by seed."""
    from ablate.data.load import load_parts
    from ablate.engine.contract import Assignment
    from ablate.engine.predicting import seed_ensemble
    from ablate.tricks.from_weights import read_weights

    weights = {seed: read_weights(path) for seed, path in files.items()}
    parts = load_parts(settings.data, folder, double=settings.precision == "float64", form=settings.batch)
    found = seed_ensemble(Assignment(settings, tuple(files), folder), parts, weights)
    return {name: value for name, value in found.items() if math.isfinite(value)}
