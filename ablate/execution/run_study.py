"""Trains a study: the one way in for the command line and for Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ablate.execution.before_training import Inspect, prepare
from ablate.execution.events import Listener
from ablate.execution.executors.find import executor_of
from ablate.execution.executors.local import LocalExecutor
from ablate.execution.jobs import make_jobs, stack_rule
from ablate.execution.reading_again import read_again
from ablate.execution.run_options import RunOptions, chooses_threads, slots
from ablate.execution.schedule import schedule
from ablate.execution.scheduler import Scheduler
from ablate.planning.networks import known_networks
from ablate.planning.plan import Plan
from ablate.planning.study_file import write_study
from ablate.store.provenance import of_command
from ablate.store.records import ENDED_BADLY
from ablate.store.store import Store


class Detached(Exception):
    """The jobs were submitted to a cluster, and the command does not wait for them.

    ``submitted`` is the number of jobs that the cluster accepted, ``left`` the number for which its queue has no room.
    """

    def __init__(self, title: str, submitted: int, left: int) -> None:
        super().__init__(title)
        self.title, self.submitted, self.left = title, submitted, left


def run_study(
    plan: Plan,
    store: Store,
    options: RunOptions,
    *,
    stage: Callable[[Plan], Plan] = lambda plan: plan,
    listen: Listener | None = None,
    inspect: Inspect | None = None,
    own: Sequence[Path] = (),
) -> Plan:
    """Train the runs of a plan that have not finished, and read the metrics again of those whose ``read`` has changed.

    ``stage`` leaves those runs of the plan that are needed now; it is asked again when they have ended, until it adds
    none. ``inspect`` gets what the quick checks find in variants that are trained for the first time on this machine.
    Returns the last stage with the results, and a plan whose candidates have not been trained (`tune_study`)
    unchanged; ``listen`` receives every event. ``own``: files that the caller
    writes besides the store, which do not make a repository dirty.

    The plan is final: a run whose data or code changed since then ends as ``interrupted``. Raises DiskError if the
    store cannot be written, ExecutorError if jobs cannot be run, and ValueError for a device that is not available. A
    run that fails does not raise.
    KeyboardInterrupt passes through after all processes have ended and kept their state; jobs on a cluster go on.
    Raises `Detached` if ``options`` ask not to wait for the jobs.
    """
    if plan.waiting:
        return plan
    while True:
        now = run_stage(stage(plan), store, options, listen=listen, inspect=inspect, own=own)
        if plan.recipe.looks is None:
            return now
        plan = plan.renewed(store)
        failed = any(run.record.status in ENDED_BADLY for run in now.runs)
        if len(stage(plan).runs) == len(now.runs) or (failed and options.fail_fast):
            return now
        options = replace(options, fresh=False, retry_failed=False)


def run_stage(
    plan: Plan,
    store: Store,
    options: RunOptions,
    *,
    listen: Listener | None = None,
    inspect: Inspect | None = None,
    own: Sequence[Path] = (),
) -> Plan:
    """Train the runs of one stage, as `run_study` does."""
    places = slots(options)
    write_study(plan, store)
    if not options.fresh:
        plan = read_again(plan, store)
    missing = plan.to_do(retry_failed=options.retry_failed, fresh=options.fresh)
    if not missing:
        return plan
    executor = executor_of(store, plan.recipe.study, options)
    if isinstance(executor, LocalExecutor):
        try:
            found = prepare(plan, missing, executor, store, options, check=inspect is not None, listen=listen)
            if found is not None and inspect is not None:
                inspect(found)
        except BaseException:
            executor.close()
            raise
    if options.executor != "local":
        # each variant may be one job: a cluster's queue takes longer than other seeds in the same stack
        places = places[: len({(run.identity, run.record.fold) for run in missing})]
    by_core = chooses_threads(options)
    jobs = make_jobs(
        missing,
        plan,
        store,
        of_command(plan.recipe.folder, [*store.own(), *own]),
        threads=options.threads or 1,
        fresh=options.fresh,
        timeout=options.timeout,
        stack=stack_rule(missing, places, known_networks(plan, store)),
    )
    if by_core:
        jobs = schedule(jobs, plan, store, len(places))
    scheduler = Scheduler(slots(options), store, retries=options.retries, executor=executor, by_core=by_core)
    if options.detach:
        submitted = scheduler.detach(jobs)
        raise Detached(executor.title, *submitted)
    try:
        for event in scheduler.run(jobs, fail_fast=options.fail_fast):
            if listen is not None:
                listen(event)
    finally:
        scheduler.close()
    return plan.renewed(store)
