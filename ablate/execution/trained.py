"""Loads trained networks from the store."""

from __future__ import annotations

from dataclasses import replace

from ablate.engine.predicting import Trained
from ablate.execution.jobs import weights_file
from ablate.planning.plan import PlannedRun
from ablate.recipe import Recipe
from ablate.store.store import Store


def trained(run: PlannedRun, recipe: Recipe, store: Store) -> Trained:
    """A finished run for predictions, with its members if it has ``joined``.

    Raises ValueError if it, or one of its members, has not finished.
    """
    settings = run.variant.settings
    if run.record.status != "finished":
        rule = f"must be finished, but the status of seed {run.seed} is {run.record.status.replace('_', ' ')}"
        raise ValueError(f"variant (={run.variant.name}) {rule}. Train it with 'ablate run'.")
    own = Trained(settings, run.seed, recipe.folder, fold=run.record.fold, folds=recipe.folds)
    if not settings.joined:
        return replace(own, weights=weights_file(store, run.fingerprint, settings))
    members = {}
    for row, name in run.needs().items():
        if store.record(name).status != "finished":
            rule = f"must be finished, because {run.variant.name} requires it"
            raise ValueError(f"variant (={row}) {rule}. Train it with 'ablate run'.")
        below = settings.sources[row]
        members[row] = replace(own, settings=below, weights=weights_file(store, name, below))
    return replace(own, members=members)
