"""``ablate run``: plan, train, publish, print the table."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import messages, output, say, warn
from ablate.cli.options import (
    Format,
    Layout,
    RecipePath,
    Selection,
    Uri,
    Without,
    flag_of,
    option,
    suggested,
    without_credentials,
)
from ablate.cli.training_options import Training

if TYPE_CHECKING:
    from ablate.cli.live_report import LiveReport
    from ablate.cli.study_end import StudyEnd
    from ablate.execution.events import Event
    from ablate.execution.run_options import RunOptions
    from ablate.execution.run_study import Detached
    from ablate.planning.plan import Plan
    from ablate.planning.preflight import Preflight
    from ablate.recipe import Recipe
    from ablate.store.store import Store
    from ablate.tracking.publisher import Publisher
    from ablate.tracking.rendering import Rendering


def run(
    recipe: RecipePath,
    selection: Selection,
    layout: Annotated[Layout, Without("columns", "sort", "style", "caption", "label")],
    training: Training,
    format: Format = "text",
    tracking_uri: Uri = None,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Do not upload results to MLflow.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Skip the quick checks of new variants.")] = False,
    notify: Annotated[
        str | None,
        option(
            "URL",
            "Webhook (http or https) to which a JSON summary is sent when the study ends. Defaults to $ABLATE_NOTIFY.",
        ),
    ] = None,
    bell: Annotated[bool, typer.Option("--bell", help="Ring the terminal's bell when the study ends.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: list the runs to be trained, and their command lines.")
    ] = False,
    report: Annotated[
        Path | None,
        option(
            "FILE", "Also write a report (.html, .md or .pdf), during training and at the end. See 'ablate report'."
        ),
    ] = None,
) -> int:
    """Train all runs that have not finished and print the table. Rerun the command to resume an interrupted study.

    Example: ablate run digits.yaml --seeds 5 --metric accuracy
    """
    from ablate.cli.live_report import reporting
    from ablate.cli.show_table import flags_named
    from ablate.cli.show_tuning import tuning_text
    from ablate.cli.study_end import StudyEnd, webhook_of
    from ablate.evidence.stages import stage_of
    from ablate.execution.run_options import slots
    from ablate.execution.shutdown import ended_by_signals
    from ablate.execution.tune_study import round_of
    from ablate.planning.plan import make_plan
    from ablate.report.formats import checked

    with flags_named():
        checked(format)
    options, webhook = training.options(), webhook_of(notify)
    study, store = selection.read(recipe, metric=layout.metric), selection.store
    slots(options)  # reports a missing device before anything is written
    live = None if report is None else reporting(report, study, layout, selection.runs)
    plan = make_plan(study, store)
    if dry_run:
        rounds = [round_of(plan, tuple(plan.search.missing()))] if plan.search is not None else []
        for part in (*rounds, stage_of(plan, store).plan):
            for line in to_be_trained(part, store, options):
                output().print(line, soft_wrap=True)
        return 0
    if sentence := address_not_used(options):
        say(sentence)
    if text := tuning_text(plan, options):
        say(text)
    with ended_by_signals(), StudyEnd(plan, store, webhook, bell) as end:
        how = {"mlflow": not no_mlflow, "check": not no_check}
        end.code = train(end, options, selection.runs, layout, format, tracking_uri, **how, live=live)
    return end.code


def train(
    end: StudyEnd,
    options: RunOptions,
    runs: Path,
    layout: Layout,
    format: str,
    tracking_uri: str | None,
    *,
    mlflow: bool,
    check: bool,
    live: LiveReport | None,
) -> int:
    """Train the runs of ``end.plan``, upload them and print the table. Returns the exit code."""
    from ablate.cli.progress import Progress
    from ablate.cli.show_plan import announce, look_text, rows_to_train
    from ablate.cli.show_table import show
    from ablate.cli.show_tuning import round_text, tuned_text
    from ablate.evidence.gather import table_of
    from ablate.evidence.stages import stage_of
    from ablate.execution.before_training import ChecksFailed
    from ablate.execution.executors.executor import ExecutorError
    from ablate.execution.run_options import LASTING
    from ablate.execution.run_study import Detached, run_study
    from ablate.execution.shutdown import ended_by_signals
    from ablate.execution.tune_study import tune_study
    from ablate.planning.plan import settings_flags
    from ablate.tracking.address import written
    from ablate.tracking.publisher import Publisher
    from ablate.tracking.rendering import rendering

    plan, store, study = end.plan, end.store, end.plan.recipe
    publisher: Publisher | None = None
    progress = Progress()
    begun_rounds = 0

    def begun(plan: Plan) -> None:
        nonlocal begun_rounds
        begun_rounds += 1
        if text := round_text(plan, begun_rounds):
            say(text)
        progress.stop()
        progress.start(rows_to_train(plan, fresh=True))

    def listen(event: Event) -> None:
        progress.event(event)
        if publisher is not None:
            publisher.event(event)
        if live is not None:
            live.event(event)

    looks = 0

    def stage(plan: Plan) -> Plan:
        nonlocal looks
        now = stage_of(plan, store, recording=True)
        if now.look > looks:
            looks = now.look
            say(look_text(now))
            progress.add(rows_to_train(now.plan))
        end.plan = now.plan
        return now.plan

    try:
        with live or nullcontext(), progress, ended_by_signals():
            end.plan = plan = tune_study(
                plan, store, options, begun=begun, listen=progress.event, own=written(tracking_uri)
            )
            progress.stop()
            if text := tuned_text(plan, begun_rounds):
                say(text)
            if not plan.waiting:
                rows = announce(stage_of(plan, store), store, options)
                publisher = Publisher(plan, store, tracking_uri, rendering) if mlflow else None
                if rows:
                    progress.start(rows)
            end.plan = plan = run_study(
                plan,
                store,
                options,
                stage=stage,
                listen=listen,
                inspect=report_problems if check else None,
                own=written(tracking_uri),
            )
    except KeyboardInterrupt:
        if publisher is not None:
            publisher.interrupted()
        again = without_credentials(["ablate", *sys.argv[1:]])
        if options.executor in LASTING:
            cancel = suggested("cancel", study.path, flags=[*settings_flags(study.selection), *flag_of(runs)])
            say(f"Interrupted. Submitted jobs continue. To wait for them again: {again}. To cancel them: {cancel}")
        else:
            say(f"Interrupted. Finished runs are kept. Resume with: {again}")
        return 130
    except Detached as detached:
        if publisher is not None:
            publisher.interrupted()
        end.detached = True
        say(submitted(detached, study, runs))
        return 0
    except (ExecutorError, ChecksFailed) as error:
        if publisher is not None:
            publisher.interrupted()
        warn(str(error))
        return 2
    end.table = table = table_of(plan.record(), store)
    published = publisher is None or publish_rest(
        publisher, rendering(plan.record(), store, table), study, runs=runs, tracking_uri=tracking_uri
    )
    show([table], format, layout)
    for sentence in ended_badly(plan, runs):
        say(sentence)
    if not published:
        return 130
    return 0 if all(row.status == "finished" for row in table.rows) else 1


def report_problems(found: Preflight) -> None:
    """Print what the quick checks found. Raises `ChecksFailed` if there is an error."""
    from ablate.execution.before_training import ChecksFailed
    from ablate.report.checks import line_of

    for problem in found.problems:
        say(line_of(problem))
    if found.errors:
        raise ChecksFailed("Nothing was trained, because the checks found errors. Fix them, or add --no-check.")


def submitted(detached: Detached, recipe: Recipe, runs: Path) -> str:
    """What was submitted, and how to go on."""
    from ablate.planning.plan import settings_flags

    flags = [*settings_flags(recipe.selection), *flag_of(runs)]
    status, cancel = (suggested(command, recipe.path, flags=flags) for command in ("status", "cancel"))
    left = (
        f" {detached.left} more did not fit into its queue. Rerun the command later to submit them."
        if detached.left
        else ""
    )
    return (
        f"Jobs submitted to {detached.title}: {detached.submitted}.{left} To see their status: {status}. To cancel "
        f"them: {cancel}. To wait for them and print the table, rerun the command without --detach."
    )


def address_not_used(options: RunOptions) -> str:
    """What to say about Ray's own variable: a cluster is used only if it is given on purpose."""
    address = os.environ.get("RAY_ADDRESS", "")
    if options.executor != "ray" or not address or "address" in options.resources:
        return ""
    return (
        f"RAY_ADDRESS (={address}) is ignored, and a Ray cluster is started on this machine. To use an existing "
        "cluster, add --ray address=HOST:PORT."
    )


def to_be_trained(plan: Plan, store: Store, options: RunOptions) -> Iterator[str]:
    """One line per run that would be trained, with its command line if it has one."""
    from ablate.execution.run_options import slots
    from ablate.trainers.trainer import OwnTrainer, trainer_of

    device = slots(options)[0]
    for run in plan.to_do(retry_failed=options.retry_failed, fresh=options.fresh):
        trainer = trainer_of(run.variant.settings)
        fold = "" if run.record.fold is None else f" fold {run.record.fold}"
        words = None
        if isinstance(trainer, OwnTrainer):
            out = str(store.run_folder(run.fingerprint) / "work")
            words = trainer.command_line(run.variant.settings, run.seed, run.record.fold, out, device)
        yield f"{run.variant.name} seed {run.seed}{fold}" + (f": {shlex.join(words)}" if words else "")


def ended_badly(plan: Plan, runs: Path) -> list[str]:
    """What to do about runs that failed or diverged. The log is that of a variant whose code failed, if there is one:
    its traceback is there.
    """
    from ablate.planning.plan import settings_flags
    from ablate.store.records import ENDED_BADLY

    rows: dict[str, str] = {}
    for run in plan.runs:
        if (
            run.record.status in ENDED_BADLY
            and run.record.status != "no_effect"
            and rows.get(run.variant.name) != "failed"
        ):
            rows[run.variant.name] = run.record.status
    if not rows:
        return []
    named = ", ".join(f"{name} ({status.replace('_', ' ')})" for name, status in rows.items())
    logged = next((name for name, status in rows.items() if status == "failed"), next(iter(rows)))
    flags = [*settings_flags(plan.recipe.selection), *flag_of(runs)]
    logs = suggested("logs", plan.recipe.path, logged, flags=flags)
    return [f"Not finished: {named}. To retrain, add --retry-failed. To see the log of {logged}, run: {logs}"]


def publish_rest(
    publisher: Publisher, rendering: Rendering, recipe: Recipe, *, runs: Path, tracking_uri: str | None
) -> bool:
    """Publish what is missing after training; False if Ctrl-C ended it.

    An error is one line on stderr with the command that publishes later.
    """
    from ablate.execution.shutdown import ended_by_signals

    shown = publisher.address.shown
    place = ["--tracking-uri", tracking_uri] if tracking_uri else []
    later = suggested("sync", recipe.path, flags=[*recipe.selection, *flag_of(runs), *place])

    def waiting() -> None:
        if messages().is_terminal:
            say(f"Uploading to {shown} …")

    try:
        with ended_by_signals():
            published = publisher.finish(rendering, waiting=waiting)
    except KeyboardInterrupt:
        say(f"The upload to {shown} was interrupted. Resume with: {later}")
        return False
    if not published.ok:
        say(f"{published.reason} All results are saved locally. Upload them later with: {later}")
    return True
