"""What a command does on this machine before it trains: the quick checks of new variants, the data loaded once for all
jobs, and facts about custom networks, by which seeds are stacked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ablate.data.load import known_spec
from ablate.data.shared import key_of
from ablate.engine.compute_cost import work_of_settings
from ablate.execution.events import Listener
from ablate.execution.executors.local import LocalExecutor
from ablate.execution.preparation import Preparation
from ablate.execution.run_options import RunOptions, slots
from ablate.planning.networks import alike, cached, known_networks, write
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.planning.preflight import Examined, Preflight, distinct, gathered, question
from ablate.recipe import Recipe, Settings, Variant
from ablate.store.store import Store
from ablate.trainers.trainer import OwnTrainer, trainer_of

Inspect = Callable[[Preflight], None]
"""Receives what the quick checks found, before training. May raise `ChecksFailed`."""


class ChecksFailed(Exception):
    """The quick checks found errors, so nothing was trained. One line."""


@dataclass
class Dataset:
    """What is to be done with one dataset: how many runs load it, the settings to check, the networks to describe."""

    settings: Settings
    runs: int = 0
    check: dict[int, Settings] = field(default_factory=dict)
    describe: dict[int, Settings] = field(default_factory=dict)


def prepare(
    plan: Plan,
    missing: Sequence[PlannedRun],
    executor: LocalExecutor,
    store: Store,
    options: RunOptions,
    *,
    check: bool,
    listen: Listener | None = None,
) -> Preflight | None:
    """Prepare the training of ``missing``, in processes of the executor: one for each dataset.

    It is loaded once, and shared with the jobs if at least two runs use it or the checks need it. Facts about networks
    go into the study's folder. Returns what the quick checks find in variants without a finished run; None without
    ``check`` and if there are no such variants. Raises DiskError.
    """
    variants = new_variants(plan, missing) if check else []
    keys, settings = distinct(variants)
    places = slots(options)
    unknown = unknown_networks(plan, missing, store) if places[0] == "cpu" else []
    datasets: dict[str, Dataset] = {}

    def dataset_of(one: Settings) -> Dataset:
        key = key_of(one.data, plan.recipe.folder, double=one.precision == "float64", form=one.batch)
        return datasets.setdefault(key, Dataset(one))

    for run in missing:
        if uses_data(run.variant.settings):
            dataset_of(run.variant.settings).runs += 1
    for number, one in enumerate(settings):
        if uses_data(one) and not one.joined:
            dataset_of(one).check[number] = one
    for number, (one, _) in enumerate(unknown, len(settings)):
        dataset_of(one).describe[number] = one
    prepared = [one for one in datasets.values() if one.check or one.runs > 1]
    tasks = [task_of(one, plan.recipe, options, min(one.runs, len(places) // len(prepared))) for one in prepared]
    answers = executor.prepare(tasks, at_once=len(places), loading=options.timeout, listen=listen)
    described = {
        name: network for number, network in answers.networks.items() for name in unknown[number - len(settings)][1]
    }
    if described:
        write(plan, store, {**cached(plan, store), **described})
    if not variants:
        return None
    return gathered(plan.recipe, variants, [answers.examined.get(key, Examined()) for key in keys], quick=True)


def new_variants(plan: Plan, missing: Sequence[PlannedRun]) -> list[Variant]:
    """The variants of ``missing`` without a finished run."""
    trained = {run.variant.name for run in (*plan.runs, *plan.needed) if run.record.status == "finished"}
    return list({run.variant.name: run.variant for run in missing if run.variant.name not in trained}.values())


def unknown_networks(plan: Plan, missing: Sequence[PlannedRun], store: Store) -> list[tuple[Settings, list[str]]]:
    """Settings that decide by facts which nobody knows yet whether their seeds are stacked, each with the names under
    which the facts are cached.
    """
    known = known_networks(plan, store)
    seeds = Counter((run.identity, run.record.fold) for run in missing)
    several = {identity for (identity, _), count in seeds.items() if count > 1}
    first = {run.variant.name: run for run in reversed(plan.runs)}
    found: dict[str, tuple[Settings, list[str]]] = {}
    for run in first.values():
        settings = run.variant.settings
        if run.identity in several and run.identity not in known and stacks_by_facts(settings):
            found.setdefault(alike(settings), (settings, []))[1].append(run.fingerprint)
    return list(found.values())


def stacks_by_facts(settings: Settings) -> bool:
    """Whether facts about the network decide if seeds are stacked."""
    if settings.stack != "auto" or settings.joined or not uses_data(settings):
        return False
    spec = known_spec(settings.data)
    return spec is None or work_of_settings(settings, spec.input_shape) is None


def uses_data(settings: Settings) -> bool:
    """Whether a job of these settings loads their data: the user's own training does it itself."""
    return not isinstance(trainer_of(settings), OwnTrainer)


def task_of(one: Dataset, recipe: Recipe, options: RunOptions, jobs: int) -> Preparation:
    """What the process for a dataset does, before ``jobs`` jobs begin at once. A built-in dataset is loaded for each
    fold on its own.
    """
    loaded: dict[str, object] = {}
    return Preparation(
        settings=one.settings,
        folder=recipe.folder,
        folds=recipe.folds,
        shares=recipe.folds is None or one.settings.data.target is not None,
        questions={number: question(settings, recipe, loaded, quick=True) for number, settings in one.check.items()},
        networks=one.describe,
        loaded=loaded,
        threads=options.threads or 1,
        jobs=jobs if one.settings.data.target is not None else 0,
    )
