"""``ablate run``: plan, train what is missing, publish, print the table."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.flags import (
    DEFAULT_RUNS,
    Design,
    Format,
    Only,
    RecipePath,
    Runs,
    Scale,
    Seeds,
    Sets,
    Uri,
    flag_of,
    read,
)

if TYPE_CHECKING:
    from ablate.execution.events import Event
    from ablate.execution.run_options import RunOptions
    from ablate.planning.plan import Plan
    from ablate.store.store import Store


def run(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    jobs: Annotated[str, typer.Option(help="Processes at once: auto (one per core or GPU) or a number.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    executor: Annotated[str, typer.Option(help="Where jobs run: local.")] = "local",
    jobs_per_gpu: Annotated[int, typer.Option(min=1, help="Processes at once on each GPU.")] = 1,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="End a job after so many seconds.", show_default=False)
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a job whose process was killed goes on.")] = 1,
    runs: Runs = DEFAULT_RUNS,
    tracking_uri: Uri = None,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Record nothing in MLflow.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train failed and diverged runs again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start nothing new after the first failure.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train all selected rows again, from nothing.")] = False,
    format: Format = "text",
) -> int:
    """Train what is missing and print the table. Run it again to continue."""
    from ablate.cli.console import say
    from ablate.cli.progress import Progress
    from ablate.cli.publishing import publish_rest
    from ablate.cli.show_table import check_format, show_as
    from ablate.evidence.gather import table_of
    from ablate.execution.devices import slots
    from ablate.execution.run_options import RunOptions
    from ablate.execution.run_study import run_study
    from ablate.execution.signals import ended_by_signals
    from ablate.planning.plan import make_plan
    from ablate.store.store import Store
    from ablate.tracking.publisher import Background
    from ablate.tracking.rendering import rendering

    check_format(format)
    if executor != "local":
        raise ValueError(f"--executor (={executor}) must be local.")
    options = RunOptions(
        jobs=number_of(jobs),
        threads=threads,
        device=device,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        fresh=fresh,
        timeout=timeout,
        retries=retries,
        jobs_per_gpu=jobs_per_gpu,
    )
    study = read(recipe, seeds, only, design, sets, scale)
    slots(options)  # reports a missing device before anything is written
    store = Store(runs.absolute())
    plan = make_plan(study, store)
    rows = announce(plan, store, options)
    publisher = None if no_mlflow else Background(plan, store, tracking_uri, rendering)
    progress = Progress()
    if rows:
        progress.start(rows)

    def listen(event: Event) -> None:
        progress.event(event)
        if publisher is not None:
            publisher.event(event)

    try:
        with ended_by_signals():
            plan = run_study(plan, store, options, listen=listen)
    except KeyboardInterrupt:
        progress.stop()
        if publisher is not None:
            publisher.interrupted()
        say(f"Interrupted. Finished runs are kept. Resume with: {shlex.join(['ablate', *sys.argv[1:]])}")
        return 130
    finally:
        progress.stop()
    table = table_of(plan.record(), store)
    published = publisher is None or publish_rest(
        publisher, rendering(plan.record(), store, table), study, runs, tracking_uri
    )
    show_as(table, format)
    for sentence in ended_badly(plan, runs):
        say(sentence)
    if not published:
        return 130
    return 0 if all(row.status == "finished" for row in table.rows) else 1


def announce(plan: Plan, store: Store, options: RunOptions) -> list[tuple[str, int, int]]:
    """Print what is going to be trained. Returns variant, number of runs and epochs for the progress display."""
    from ablate.cli.console import say
    from ablate.planning.changed import changed
    from ablate.planning.untracked import untracked
    from ablate.recipe.advice import advice_of
    from ablate.report.notes import lines_by_variant

    study, missing = plan.recipe, plan.to_do(retry_failed=options.retry_failed, fresh=options.fresh)
    distinct = len({planned.fingerprint for planned in (*plan.runs, *missing)})
    size = [number(len(study.variants), "variant"), number(len(study.seeds), "seed")]
    if study.folds is not None:
        size.append(f"{study.folds.k} folds")
    finished = f"{distinct - len(missing)} of {number(distinct, 'run')} finished, {len(missing)} to train"
    say(f"{study.study}: {' × '.join(size)}; {finished}")
    for sentence in lines_by_variant((*changed(plan, store), *(() if options.fresh else untracked(plan, store)))):
        say(sentence)
    for sentence in advice_of(study):
        say(f"warning: {sentence}")
    counts = Counter(planned.variant.name for planned in missing)
    if also := [variant.name for variant in study.needed if counts[variant.name]]:
        say(f"Also training {', '.join(also)}, which other variants are based on.")
    rows = (*study.needed, *study.variants)
    return [(v.name, counts[v.name], v.settings.epochs) for v in rows if counts[v.name]]


def number(count: int, noun: str) -> str:
    """``1 seed`` or ``2 seeds``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def ended_badly(plan: Plan, runs: Path) -> list[str]:
    """What to do about runs that failed or diverged; nothing where none did."""
    from ablate.planning.plan import settings_flags
    from ablate.store.records import ENDED_BADLY

    rows: dict[str, str] = {}
    for run in plan.runs:
        if run.record.status in ENDED_BADLY:
            rows.setdefault(run.variant.name, run.record.status)
    if not rows:
        return []
    named = ", ".join(f"{name} ({status.replace('_', ' ')})" for name, status in rows.items())
    flags = [*settings_flags(plan.recipe.selection), *flag_of(runs)]
    logs = shlex.join(["ablate", "logs", str(plan.recipe.path), next(iter(rows)), *flags])
    return [f"did not finish: {named}; --retry-failed trains such runs again. What it printed: {logs}"]


def number_of(jobs: str) -> int | None:
    """The number behind ``--jobs``, None for auto. Raises ValueError for anything else."""
    if jobs == "auto":
        return None
    if not jobs.isdecimal() or int(jobs) < 1:
        raise ValueError(f"--jobs (={jobs}) must be auto or a number of at least 1.")
    return int(jobs)
