"""The commands' words for Python: ``Recipe.load``, `run`, `table`, `load` (a trained network)."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.evidence.gather import Table, gather
from ablate.planning.plan import Plan, PlannedRun, make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.registry import suggestion
from ablate.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ablate.data.dataset import Part, Spec
    from ablate.engine.predicting import Trained
    from ablate.execution.events import Listener
    from ablate.store.records import StudyRecord
    from ablate.tracking.publish import Published, Rendering
    from ablate.tracking.publisher import Background

DEFAULT_ROOT = Path("runs")


@dataclass(frozen=True)
class RunOptions:
    """How to train, none of which changes what is computed.

    ``jobs``: processes at once, None for as many as the cores allow (or one a GPU, or ``jobs_per_gpu``). ``threads``: CPU threads of each. ``device``:
    ``auto``, ``cpu``, ``cuda`` or ``cuda:1``. ``timeout``: seconds after which a job ends, with status ``timeout``. ``retries``: how often a job whose
    process was killed goes on from its checkpoint.
    """

    jobs: int | None = None
    threads: int = 1
    device: str = "auto"
    retry_failed: bool = False
    fail_fast: bool = False
    fresh: bool = False
    timeout: float | None = None
    retries: int = 1
    jobs_per_gpu: int = 1


def as_recipe(recipe: Recipe | str | Path, *, need_files: bool = True) -> Recipe:
    """A recipe from its file, or itself."""
    return recipe if isinstance(recipe, Recipe) else Recipe.load(Path(recipe), need_files=need_files)


def run(
    recipe: Recipe | str | Path,
    *,
    root: Path | str = DEFAULT_ROOT,
    options: RunOptions | None = None,
    listen: Listener | None = None,
) -> Table:
    """Train what is missing and return the table. ``listen`` gets every event of every job.

    Raises RecipeError for a wrong recipe, and DiskError where the folder of runs cannot be written.

    A row that fails is a row of the table, not an exception; KeyboardInterrupt passes through once all
    processes have ended and kept their state.
    """
    recipe = as_recipe(recipe)
    if recipe.gone:
        raise ValueError(f"the data (={recipe.gone[0]}) does not exist.")
    options = options or RunOptions()
    store = Store(Path(root).absolute())
    plan = make_plan(recipe, store)
    missing = plan.to_do(retry_failed=options.retry_failed, fresh=options.fresh)
    write_study(plan, store)
    if missing:
        train_runs(plan, missing, store, options, listen)
        # not a new plan: the table is of what this command trained, whatever was edited meanwhile
        plan = plan.renewed(store)
    return gather(plan.record(), provenance=store.provenance, curves=store.metrics)


def train_runs(
    plan: Plan, missing: list[PlannedRun], store: Store, options: RunOptions, listen: Listener | None
) -> None:
    """Train the missing runs of a plan; returns when all of them have ended."""
    from ablate.execution.jobs import make_jobs
    from ablate.execution.scheduler import Scheduler
    from ablate.execution.stack_rule import stack_rule
    from ablate.planning.networks import known_networks
    from ablate.store.provenance import of_command

    places = slots(options)
    jobs = make_jobs(
        missing,
        plan,
        store,
        of_command(plan.recipe.folder),
        now=time.time(),
        threads=options.threads,
        fresh=options.fresh,
        timeout=options.timeout,
        stack=stack_rule(missing, places, known_networks(plan, store)),
    )
    scheduler = Scheduler(places, store, retries=options.retries)
    try:
        for event in scheduler.run(jobs, fail_fast=options.fail_fast):
            if listen is not None:
                listen(event)
    finally:
        scheduler.close()


def slots(options: RunOptions) -> list[str]:
    """One slot for each job that may run at once: GPUs where there are any (``auto``), CPU cores otherwise. Does not import torch.

    Raises ValueError where a GPU is asked for and none is there.
    """
    gpus, device = visible_gpus(), options.device
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdecimal())):
        raise ValueError(f"--device (={device}) must be auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and not gpus:
        raise ValueError(f"--device (={device}) needs a CUDA device; this machine shows none. Use --device cpu.")
    if index:
        if int(index) >= gpus:
            raise ValueError(
                f"--device (={device}) must be one of cuda:0 to cuda:{gpus - 1}, which this process may use."
            )
        return [device] * (options.jobs or options.jobs_per_gpu)
    if kind == "cuda" or (kind == "auto" and gpus):
        names = [f"cuda:{i}" for i in range(gpus)]
        count = options.jobs or len(names) * options.jobs_per_gpu
        return [names[i % len(names)] for i in range(count)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ["cpu"] * (options.jobs or max(cores // options.threads, 1))


def visible_gpus() -> int:
    """How many CUDA devices this process may use, from the driver's files and ``CUDA_VISIBLE_DEVICES``; torch is not asked, as that would import it."""
    there = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) or len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    named = [part for part in visible.split(",") if part.strip() and part.strip() != "-1"]
    return min(there, len(named))


def table(recipe: Recipe | str | Path, *, root: Path | str = DEFAULT_ROOT) -> Table:
    """The table of what is done, from the store, also where the files of its data have gone since. Trains nothing, imports no torch."""
    store = Store(Path(root).absolute())
    plan = make_plan(as_recipe(recipe, need_files=False), store)
    return gather(plan.record(), provenance=store.provenance, curves=store.metrics)


def publish(
    recipe: Recipe | str | Path,
    table: Table,
    *,
    root: Path | str = DEFAULT_ROOT,
    uri: str | None = None,
    within: float | None = None,
    check: bool = False,
) -> Published:
    """Send to MLflow what it lacks of a study; imports mlflow only where there is something to send. Never raises for a server that is down or slow.

    ``within`` leaves what is not sent after so many seconds for the next time; ``check`` asks the server about every run that was sent before.
    """
    from ablate.tracking.publish import publish as send

    store = Store(Path(root).absolute())
    study = make_plan(as_recipe(recipe, need_files=False), store).record()
    return send(study, store, tracking_uri=uri, artifacts=rendering(study, store, table), within=within, check=check)


def publisher(plan: Plan, *, root: Path | str = DEFAULT_ROOT, uri: str | None = None) -> Background:
    """Publishes a study to MLflow while it trains: give it the events of `run`, and have it `finish` at the end."""
    from ablate.tracking.publisher import Background

    return Background(plan, Store(Path(root).absolute()), uri, rendering)


def rendering(study: StudyRecord, store: Store, table: Table | None = None) -> Rendering:
    """What MLflow shows of a study beside its curves: the recipe, the table in all formats, its numbers, pictures.

    Rendered where MLflow lacks it only.
    """
    import ablate
    from ablate.tracking.limits import digest
    from ablate.tracking.publish import Artifacts, Rendering

    known = table or gather(study, provenance=store.provenance, curves=store.metrics)

    def render() -> Artifacts:
        from ablate.report.as_json import row_tree
        from ablate.report.formats import FORMATS, render
        from ablate.report.pictures import pictures

        columns = {
            row.variant: {key: float(v) for key, v in row_tree(row).items() if isinstance(v, int | float)}
            for row in known.rows
        }
        tables = {f"table.{format}": render(known, format) for format in FORMATS}
        finished = any(row.seeds for row in known.rows)
        drawn = pictures(study, store, known) if finished else {}
        return Artifacts(study.recipe.text, tables, render(known, "md"), drawn, columns)

    return Rendering(digest([ablate.__version__, study.recipe.text, asdict(known)]), render)


def load(
    recipe: Recipe | str | Path, variant: str, seed: int = 0, *, fold: int = 0, root: Path | str = DEFAULT_ROOT
) -> nn.Module:
    """The trained network of a variant and seed, in evaluation mode, with the weights of the epoch that its row reports; with folds, of one ``fold``.

    It takes what its training saw: inputs that tricks have prepared (`standardise` …); `predict` prepares them itself.

    Raises ValueError in one line where that run is not finished, and for a row that joins others.
    """
    from ablate.engine.predicting import network_of
    from ablate.execution.trained import trained

    recipe = as_recipe(recipe)
    store = Store(Path(root).absolute())
    runs = [run for run in make_plan(recipe, store).runs if run.variant.name == variant and run.seed == seed]
    if not runs:
        raise ValueError(_not_there(recipe, variant, seed))
    number = fold if recipe.folds is not None else None
    chosen = next((run for run in runs if run.record.fold == number), None)
    if chosen is None:
        raise ValueError(f"fold (={fold}) must be one of this recipe's, which are 0 to {len(runs) - 1}.")
    joined = chosen.variant.settings.joined
    if joined:
        raise ValueError(
            f"variant (={variant}) joins {', '.join(joined)} and has no network. Load these, or use ablate.predict."
        )
    found = trained(chosen, recipe, store)
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
    """What a trained row says of inputs (n, …) as its data set has them: outputs (n, …) in the targets' own unit; of classes, probabilities (n, classes).

    ``seed``: the first of the recipe unless given; ``ensemble``: the mean of all seeds (and folds). Raises ValueError in one line.
    """
    import torch

    from ablate.data.dataset import Part

    runs = _finished(as_recipe(recipe), variant, seed, ensemble, Store(Path(root).absolute()))
    outputs: NDArray[np.float32] = _mean_prediction(runs, Part(torch.as_tensor(inputs)))[0].numpy()
    return outputs


def predictions(
    recipe: Recipe | str | Path,
    variant: str,
    path: Path,
    *,
    lookup: Path | None = None,
    seed: int | None = None,
    ensemble: bool = False,
    root: Path | str = DEFAULT_ROOT,
) -> str:
    """The predictions of a file's inputs as CSV: a column for each output, landmarks in pixels; with Kaggle's ``lookup``, RowId and Location."""
    import pandas

    from ablate.data.kaggle_submission import in_pixels, submission
    from ablate.data.new_inputs import read_inputs
    from ablate.engine.predicting import output_names

    runs = _finished(as_recipe(recipe), variant, seed, ensemble, Store(Path(root).absolute()))
    inputs, ids = read_inputs(runs[0].settings.data, Path(path))
    values, spec = _mean_prediction(runs, inputs)
    if spec.landmarks is not None:
        values = in_pixels(values, spec.landmarks)
    if lookup is not None:
        if ids is None or spec.landmarks is None:
            raise ValueError(
                f"--lookup (={lookup}) is for the competition's test.csv, with an ImageId in each row. Drop it."
            )
        return submission(values, spec.target_names, ids, Path(lookup))
    names = output_names(spec)
    table = pandas.DataFrame(values.flatten(1).numpy(), columns=list(names) if values.dim() == 2 else None)
    if spec.task == "classification" and len(spec.classes) == values.shape[1]:
        table.insert(0, "prediction", [spec.classes[i] for i in values.argmax(1).tolist()])
    if ids is not None:
        table.insert(0, "ImageId", ids)
    return str(table.to_csv(index=False, float_format="%.6g"))


def _finished(recipe: Recipe, variant: str, seed: int | None, ensemble: bool, store: Store) -> list[Trained]:
    """The runs whose predictions are asked for."""
    from ablate.execution.trained import trained

    seed = recipe.seeds[0] if seed is None else seed
    runs = [run for run in make_plan(recipe, store).runs if run.variant.name == variant]
    chosen = runs if ensemble else [run for run in runs if run.seed == seed][:1]
    if not chosen:
        raise ValueError(_not_there(recipe, variant, seed))
    return [trained(run, recipe, store) for run in chosen]


def _mean_prediction(runs: list[Trained], inputs: Part) -> tuple[Tensor, Spec]:
    """The mean of what the runs predict; scores of classes as probabilities."""
    import torch

    from ablate.engine.predicting import predict as ask

    found = []
    for run in runs:
        values, spec = ask(run, inputs)
        classes = spec.task == "classification" and len(spec.classes) == spec.outputs == values.shape[-1]
        found.append(values.softmax(1) if classes else values)
    return torch.stack(found).mean(0), spec


def _not_there(recipe: Recipe, variant: str, seed: int) -> str:
    """Why a recipe has no such run."""
    names = [one.name for one in recipe.variants]
    if variant in names:
        seeds = ", ".join(map(str, recipe.seeds))
        return f"seed (={seed}) is not one of this recipe, which has {seeds}. Name one of these, or load the recipe with seeds=."
    near = suggestion(variant, names)
    return f"variant (={variant}) is not in this recipe. " + (
        f"Did you mean '{near}'?" if near else f"It has {', '.join(names)}."
    )
