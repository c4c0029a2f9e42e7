"""Trained networks of a variant from the store, and their predictions for new inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.execution.jobs import weights_file
from ablate.notes.note import Note
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe import Recipe
from ablate.recipe.own_training import own_training
from ablate.recipe.shape import listed
from ablate.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Part, Spec
    from ablate.engine.predicting import Trained


def runs_of(plan: Plan, variant: str, seed: int | None = None) -> list[PlannedRun]:
    """A variant's runs, or those of one seed (every fold). Raises ValueError if the recipe has no such run."""
    recipe = plan.recipe
    names = [one.name for one in recipe.variants]
    if variant not in names:
        where = recipe.path or recipe.study
        raise ValueError(f"variant (={variant}) is not defined in {where}.{listed(names)}")
    if seed is not None and seed not in recipe.seeds:
        raise ValueError(f"seed (={seed}) must be one of {', '.join(map(str, recipe.seeds))}.")
    return [run for run in plan.runs_of(variant) if seed in (None, run.seed)]


def predicts(run: PlannedRun) -> bool:
    """Whether `ablate` can load its network: it is trained by the built-in loop, or combines such networks."""
    return own_training(run.variant.settings.trainer) is None


def trained(run: PlannedRun, recipe: Recipe, store: Store) -> Trained:
    """A finished run for predictions, with its members if it has ``joined``.

    Raises ValueError if it, or one of its members, has not finished.
    """
    settings = run.variant.settings
    if not predicts(run):
        raise ValueError(
            f"variant (={run.variant.name}) cannot predict: it is trained by your own code (trainer: "
            f"{settings.trainer.label}). Load the weights that it saved from the run's folder."
        )
    if run.record.status != "finished":
        what = {"queued": "has not been trained yet"}.get(run.record.status, f"has the status {run.record.status}")
        raise ValueError(
            f"variant (={run.variant.name}) cannot predict: seed {run.seed} {what.replace('_', ' ')}. "
            "Train it with 'ablate run'."
        )
    from ablate.engine.predicting import Trained

    own = Trained(settings, run.seed, recipe.folder, fold=run.record.fold, folds=recipe.folds)
    if not settings.joined:
        return replace(own, weights=weights_file(store, run.fingerprint, settings))
    members = {}
    for row, name in run.needs().items():
        if store.record(name).status != "finished":
            rule = f"must be trained first, because {run.variant.name} combines its predictions"
            raise ValueError(f"variant (={row}) {rule}. Train it with 'ablate run'.")
        below = settings.sources[row]
        members[row] = replace(own, settings=below, weights=weights_file(store, name, below))
    return replace(own, members=members)


def trained_runs(plan: Plan, store: Store, variant: str, *, seed: int | None, ensemble: bool) -> list[Trained]:
    """The trained networks of all seeds and folds (``ensemble``), or of one seed (the first by default) and its first
    fold.
    """
    chosen = runs_of(plan, variant, seed if seed is not None or ensemble else plan.recipe.seeds[0])
    return [trained(run, plan.recipe, store) for run in (chosen if ensemble else chosen[:1])]


def mean_prediction(runs: list[Trained], inputs: Part) -> tuple[Tensor, Spec]:
    """The mean of the runs' predictions; for classes, of their probabilities."""
    import torch

    from ablate.engine.predicting import predict

    found = []
    for run in runs:
        values, spec = predict(run, inputs)
        classes = spec.task == "classification" and len(spec.classes) == spec.outputs == values.shape[-1]
        found.append(values.softmax(1) if classes else values)
    return torch.stack(found).mean(0), spec


def scale_notes(run: Trained, inputs: Part) -> list[Note]:
    """A note if new inputs have another scale than the training inputs."""
    from ablate.data.input_range import other_range

    parts = run.parts()
    found = other_range(inputs, parts.train)
    if found is None:
        return []
    names = parts.spec.input_names
    if found["column"] is not None:
        column = found["column"]
        found["column"] = f"column {names[column]}" if column < len(names) else f"input {column}"
    return [Note("other_range", values=found)]


def predictions_csv(
    runs: list[Trained], path: Path, lookup: Path | None = None, warn: Callable[[Note], None] | None = None
) -> str:
    """The predictions for a file's inputs as CSV: a column per output, keypoints in pixels; with Kaggle's ``lookup``,
    RowId and Location. ``warn`` gets a note if the inputs have another scale than the training inputs.
    """
    import pandas

    from ablate.data.kaggle_submission import in_pixels, submission
    from ablate.data.new_inputs import read_inputs
    from ablate.engine.predicting import output_names

    inputs, ids = read_inputs(runs[0].settings.data, path)
    values, spec = mean_prediction(runs, inputs)
    if warn is not None:
        for note in scale_notes(runs[0], inputs):
            warn(note)
    if spec.keypoints is not None:
        values = in_pixels(values, spec.keypoints)
    if lookup is not None:
        if ids is None or spec.keypoints is None:
            raise ValueError(
                f"--lookup (={lookup}) requires Kaggle's test.csv with the column ImageId. Remove --lookup."
            )
        return submission(values, spec.target_names, ids, lookup)
    names = output_names(spec)
    table = pandas.DataFrame(values.flatten(1).numpy(), columns=list(names) if values.dim() == 2 else None)
    if spec.task == "classification" and len(spec.classes) == values.shape[1]:
        table.insert(0, "prediction", [spec.classes[i] for i in values.argmax(1).tolist()])
    if ids is not None:
        table.insert(0, "ImageId", ids)
    return str(table.to_csv(index=False, float_format="%.6g"))
