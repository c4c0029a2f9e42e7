"""What the seeds of each row know together: the mean prediction of their trained networks, from the weights that the store has.

Nothing is trained for it. As networks may be the user's code, they are built in a helper process; what was found is kept in the study's folder.
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
    """A row's seeds as one predictor: one number where the row has one for each seed, so there is no scatter, and no verdict.

    ``together`` are the mean prediction's loss and metrics, ``single`` the means over the seeds of their own. ``reason`` says why there is none.
    """

    variant: str
    seeds: tuple[int, ...] = ()
    together: dict[str, float] = field(default_factory=dict)
    single: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def label(self) -> str:
        """What to call it, so that nobody takes it for a row of the table."""
        return f"{self.variant} (ensemble of {len(self.seeds)} seeds)" if self.together else self.variant


def ensembles(plan: Plan, store: Store) -> list[Ensemble]:
    """Of each row, the seeds that have finished, together. Computed where the store does not know it yet."""
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
    """Runs with their last end: a run that is trained afresh has other weights."""
    text = ",".join(f"{run.fingerprint}@{run.record.finished}" for run in runs)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def described(name: str, runs: Sequence[PlannedRun], values: dict[str, Any] | None) -> Ensemble:
    """What is known of one row."""
    seeds = tuple(run.seed for run in runs)
    if any(run.record.fold is not None for run in runs):
        return Ensemble(name, seeds, reason="its folds validate on other samples each")
    if any(run.variant.settings.joined for run in runs):
        return Ensemble(name, seeds, reason="it joins other rows, and has no network of its own")
    if values is None:
        return Ensemble(
            name,
            seeds,
            reason=f"it takes two finished seeds; there {'is' if len(seeds) == 1 else 'are'} {len(seeds) or 'none'}",
        )
    if "error" in values or not values:
        return Ensemble(name, seeds, reason=values.get("error", "none of its numbers is finite"))
    own = [run.record.results.get("selected", {}) for run in runs]
    single = {key: math.fsum(v[key] for v in own) / len(own) for key in values if all(key in v for v in own)}
    return Ensemble(name, seeds, dict(values), single)


def ask(plan: Plan, store: Store, groups: Sequence[Sequence[PlannedRun]]) -> list[dict[str, Any]]:
    """Evaluate in a helper process: metrics of each group of runs, or ``{"error": "one line"}``."""
    questions = []
    for runs in groups:
        settings = runs[0].variant.settings
        weights = {run.seed: weights_file(store, run.fingerprint, settings) for run in runs}
        questions.append((settings, weights, plan.recipe.folder))
    return asked("ablate.execution.ensembles", questions)


def evaluated(settings: Settings, files: Mapping[int, Path], folder: Path) -> dict[str, Any]:
    """The metrics of one group, from its weights by seed; those that are not finite, which JSON cannot hold, are left out."""
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
