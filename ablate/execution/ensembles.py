"""Evaluates the mean prediction of the trained networks of each variant's seeds, without training.

The networks, which may be the user's code, are built in a helper process. Results are cached in the study's folder.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.execution.jobs import weights_file
from ablate.planning.helper_process import answer, asked
from ablate.planning.plan import Plan, PlannedRun
from ablate.recipe import Settings
from ablate.store.store import Store, read_or_nothing


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
    known = read_or_nothing(path)
    found: dict[str, dict[str, Any]] = {}
    chosen: dict[str, list[PlannedRun]] = {}
    missing: dict[str, list[PlannedRun]] = {}
    for variant in plan.recipe.variants:
        runs = [run for run in plan.runs_of(variant.name) if run.record.status == "finished"]
        chosen[variant.name] = runs
        if len(runs) > 1 and not variant.settings.joined and all(run.record.fold is None for run in runs):
            key = key_of(runs)
            found[variant.name] = known.setdefault(key, {})
            if not known[key]:
                missing[key] = runs
    for key, values in zip(missing, ask(plan, store, list(missing.values())) if missing else (), strict=True):
        known[key].update(values)
    if missing:
        current = {key_of(runs) for runs in chosen.values() if runs}
        kept = {key: values for key, values in known.items() if key in current and "error" not in values}
        store.write_json(path, kept)
    return [described(name, runs, found.get(name)) for name, runs in chosen.items()]


def key_of(runs: Sequence[PlannedRun]) -> str:
    """The cache key of an ensemble: its runs with their end times, because a retrained run has new weights."""
    text = ",".join(f"{run.fingerprint}@{run.record.finished}" for run in runs)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def described(name: str, runs: Sequence[PlannedRun], values: dict[str, Any] | None) -> Ensemble:
    """The ensemble of one variant."""
    seeds = tuple(run.seed for run in runs)
    if any(run.record.fold is not None for run in runs):
        return Ensemble(name, seeds, reason="its folds have different validation sets")
    if any(run.variant.settings.joined for run in runs):
        return Ensemble(name, seeds, reason="it combines the predictions of other variants ('joined')")
    if values is None:
        return Ensemble(name, seeds, reason=f"it requires at least 2 finished seeds, but has {len(seeds)}")
    if "error" in values or not values:
        return Ensemble(name, seeds, reason=values.get("error", "no finite metrics"))
    own = [run.record.results.get("selected", {}) for run in runs]
    single = {key: math.fsum(v[key] for v in own) / len(own) for key in values if all(key in v for v in own)}
    return Ensemble(name, seeds, dict(values), single)


def ask(plan: Plan, store: Store, groups: Sequence[Sequence[PlannedRun]]) -> list[dict[str, Any]]:
    """The metrics of each group of runs from a helper process, or ``{"error": "one line"}``."""
    questions = []
    for runs in groups:
        settings = runs[0].variant.settings
        weights = {run.seed: weights_file(store, run.fingerprint, settings) for run in runs}
        questions.append((settings, weights, plan.recipe.folder))
    return asked("ablate.execution.ensembles", questions)


def evaluated(settings: Settings, files: Mapping[int, Path], folder: Path) -> dict[str, Any]:
    """The finite metrics of one group, from its weights by seed."""
    from ablate.data.load import load_parts
    from ablate.engine.contract import Assignment
    from ablate.engine.ensemble import seed_ensemble
    from ablate.tricks.from_weights import read_weights

    weights = {seed: read_weights(path) for seed, path in files.items()}
    parts = load_parts(settings.data, folder)
    found = seed_ensemble(Assignment(settings, tuple(files), folder), parts, weights)
    return {name: value for name, value in found.items() if math.isfinite(value)}


if __name__ == "__main__":
    answer(lambda question: evaluated(*question))
