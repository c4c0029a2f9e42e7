"""``ablate run``: plan, train what is missing, publish, print the table."""

from __future__ import annotations

import shlex
import sys
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
    from ablate.planning.plan import Plan


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
    from ablate import api
    from ablate.cli.console import say
    from ablate.cli.progress import Progress
    from ablate.cli.publishing import publish_rest
    from ablate.cli.show_table import check_format, show_as
    from ablate.execution.signals import ended_by_signals
    from ablate.planning.changed import changed
    from ablate.planning.plan import make_plan
    from ablate.planning.untracked import untracked
    from ablate.recipe.advice import advice_of
    from ablate.report.notes import lines_by_variant
    from ablate.store.store import Store

    check_format(format)
    if executor != "local":
        raise ValueError(f"--executor (={executor}) must be local.")
    study = read(recipe, seeds, only, design, sets, scale)
    options = api.RunOptions(
        number_of(jobs), threads, device, retry_failed, fail_fast, fresh, timeout, retries, jobs_per_gpu
    )
    api.slots(options)  # a device that is not there is said before anything is written
    store = Store(runs.absolute())
    plan = make_plan(study, store)
    missing = plan.to_do(retry_failed=retry_failed, fresh=fresh)
    distinct = len({planned.fingerprint for planned in (*plan.runs, *missing)})
    known = f"{distinct - len(missing)} of {distinct} runs are known, {len(missing)} to train"
    folds = "" if study.folds is None else f" × {study.folds.k} folds"
    say(f"{study.study}: {len(study.variants)} variants × {len(study.seeds)} seeds{folds}; {known}")

    for sentence in lines_by_variant((*changed(plan, store), *(() if fresh else untracked(plan, store)))):
        say(sentence)
    for sentence in advice_of(study):
        say(f"warning: {sentence}")

    publisher = None if no_mlflow else api.publisher(plan, root=runs, uri=tracking_uri)
    progress = Progress()

    rows = (*study.needed, *study.variants)
    counts = {variant.name: sum(planned.variant.name == variant.name for planned in missing) for variant in rows}
    if study.needed and any(counts[variant.name] for variant in study.needed):
        say(
            f"trained as well, as rows are built upon them: {', '.join(v.name for v in study.needed if counts[v.name])}"
        )
    if missing:
        progress.start([(v.name, counts[v.name], v.settings.epochs) for v in rows if counts[v.name]])

    def listen(event: Event) -> None:
        progress.event(event)
        if publisher is not None:
            publisher.event(event)

    try:
        with ended_by_signals():
            table = api.run(study, root=runs, options=options, listen=listen)
    except KeyboardInterrupt:
        progress.stop()
        if publisher is not None:
            publisher.interrupted()
        say(f"interrupted; finished runs are kept. Continue with: {shlex.join(['ablate', *sys.argv[1:]])}")
        return 130
    finally:
        progress.stop()
    ended = publisher is None or publish_rest(
        publisher, api.rendering(plan.renewed(store).record(), store, table), study, runs, tracking_uri
    )
    show_as(table, format)
    for sentence in ended_badly(plan.renewed(store), runs):
        say(sentence)
    if not ended:
        return 130
    return 0 if all(row.status == "finished" for row in table.rows) else 1


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
