"""The commands for Python: ``Recipe.load``, `run`, `table`, `load` (a trained network) and `predict`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.evidence.gather import Table, table_of
from ablate.evidence.stages import planned_now, stage_of
from ablate.execution.run_options import RunOptions
from ablate.planning.plan import Plan, make_plan
from ablate.recipe import Recipe
from ablate.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from ablate.execution.events import Listener

__all__ = ["DEFAULT_ROOT", "Recipe", "RunOptions", "load", "predict", "run", "table"]

DEFAULT_ROOT = Path("runs")


def run(
    recipe: Recipe | str | Path,
    *,
    root: Path | str = DEFAULT_ROOT,
    options: RunOptions | None = None,
    listen: Listener | None = None,
) -> Table:
    """Train all runs that have not finished and return the table. ``listen`` receives every event of every job.

    Raises RecipeError for an invalid recipe, DiskError if the folder of runs cannot be written, and ExecutorError if
    jobs cannot be run.

    A variant that fails is a row of the table, not an exception. KeyboardInterrupt passes through after all
    processes have ended and kept their state.
    """
    from ablate.execution.run_study import run_study
    from ablate.execution.tune_study import tune_study
    from ablate.tracking.address import written

    plan, store = _planned(recipe, root, whole=True)
    if plan.recipe.gone:
        raise ValueError(f"the data (={plan.recipe.gone[0]}) does not exist.")
    options = options or RunOptions()
    plan = tune_study(plan, store, options, listen=listen, own=written())
    done = run_study(
        plan,
        store,
        options,
        stage=lambda plan: stage_of(plan, store, recording=True).plan,
        listen=listen,
        own=written(),
    )
    return table_of(done.record(), store)


def table(recipe: Recipe | str | Path, *, root: Path | str = DEFAULT_ROOT) -> Table:
    """The table of results so far, without training; the data need not exist any more. Does not import torch."""
    plan, store = _planned(recipe, root, need_files=False)
    return table_of(plan.record(), store)


def load(
    recipe: Recipe | str | Path, variant: str, seed: int = 0, *, fold: int = 0, root: Path | str = DEFAULT_ROOT
) -> nn.Module:
    """The trained network of a variant and seed (and ``fold``), in evaluation mode, with the weights of the reported
    epoch.

    Its inputs are those of its training, after tricks such as `standardise`; `predict` applies these itself.

    Raises ValueError if the run has not finished, and for a variant that combines others.
    """
    from ablate.engine.predicting import network_of
    from ablate.execution.predictions import runs_of, trained

    plan, store = _planned(recipe, root)
    runs = runs_of(plan, variant, seed)
    number = fold if plan.recipe.folds is not None else None
    chosen = next((run for run in runs if run.record.fold == number), None)
    if chosen is None:
        raise ValueError(f"fold (={fold}) must be between 0 and {len(runs) - 1}.")
    if joined := chosen.variant.settings.joined:
        raise ValueError(
            f"variant (={variant}) combines {', '.join(joined)} and has no network of its own. "
            "Load one of those variants, or use ablate.predict."
        )
    found = trained(chosen, plan.recipe, store)
    return network_of(found, found.parts().spec)


def predict(
    recipe: Recipe | str | Path,
    variant: str,
    inputs: NDArray[Any],
    *,
    seed: int | None = None,
    ensemble: bool = False,
    root: Path | str = DEFAULT_ROOT,
) -> NDArray[np.float32]:
    """A trained variant's outputs (n, …) for inputs (n, …) as in its dataset, in the targets' unit; for classes,
    probabilities (n, classes).

    ``seed``: the recipe's first by default. ``ensemble``: the mean of all seeds (and folds). Raises ValueError.
    """
    import torch

    from ablate.data.dataset import Part
    from ablate.execution.predictions import mean_prediction, scale_notes, trained_runs
    from ablate.report.notes import sentence

    plan, store = _planned(recipe, root)
    runs = trained_runs(plan, store, variant, seed=seed, ensemble=ensemble)
    new = Part(torch.as_tensor(inputs))
    outputs: NDArray[np.float32] = mean_prediction(runs, new)[0].numpy()
    for note in scale_notes(runs[0], new):
        warnings.warn(f"{sentence(note)}.", stacklevel=2)
    return outputs


def _planned(
    recipe: Recipe | str | Path, root: Path | str, *, need_files: bool = True, whole: bool = False
) -> tuple[Plan, Store]:
    """The plan of a recipe, or of its file, and the store; the ``whole`` plan has the runs of later looks, too."""
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(Path(recipe), need_files=need_files)
    store = Store(Path(root).absolute())
    plan = make_plan(recipe, store)
    return plan if whole else planned_now(plan, store), store
