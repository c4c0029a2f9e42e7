"""A row's trained networks, out of the store."""

from __future__ import annotations

from dataclasses import replace

from ablate.engine.predicting import Trained
from ablate.execution.jobs import weights_file
from ablate.planning.plan import PlannedRun
from ablate.recipe import Recipe
from ablate.store.store import Store


def trained(run: PlannedRun, recipe: Recipe, store: Store) -> Trained:
    """A finished run, ready to predict; of a row that joins others, its members too.

    Raises ValueError in one line where it, or one of its members, is not finished.
    """
    settings = run.variant.settings
    if run.record.status != "finished":
        raise ValueError(
            f"variant (={run.variant.name}) with seed {run.seed} is {run.record.status}, not finished. Train it with 'ablate run'."
        )
    own = Trained(settings, run.seed, recipe.folder, fold=run.record.fold, folds=recipe.folds)
    if not settings.joined:
        return replace(own, weights=weights_file(store, run.fingerprint, settings))
    members = {}
    for row, name in run.needs().items():
        if store.record(name).status != "finished":
            raise ValueError(
                f"variant (={row}), which {run.variant.name} joins, is not finished. Train it with 'ablate run'."
            )
        below = settings.sources[row]
        members[row] = replace(own, settings=below, weights=weights_file(store, name, below))
    return replace(own, members=members)
