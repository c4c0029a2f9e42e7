"""Ends the jobs of a study on a cluster, from any command."""

from __future__ import annotations

from ablate.execution.executors.cluster import ClusterExecutor
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.executors.find import executor_of
from ablate.execution.run_options import LASTING, RunOptions
from ablate.planning.plan import Plan
from ablate.store.store import Store


def cancel_jobs(plan: Plan, store: Store, options: RunOptions) -> int:
    """Cancel the jobs that train runs of a plan or are queued to; returns how many. Their unfinished runs stay as they
    are, with their last checkpoint.

    Raises ValueError if the executor has no jobs that go on without a command, and ExecutorError if it cannot be asked.
    """
    if options.executor not in LASTING:
        raise ValueError(
            f"--executor (={options.executor}) must be {LASTING[0]}. Jobs of other executors end with their command."
        )
    executor = executor_of(store, plan.recipe.study, options)
    assert isinstance(executor, ClusterExecutor)
    owners = {run.fingerprint: owner for run in plan.runs if (owner := store.owner(run.fingerprint)) and owner.job}
    names = {owner.job for owner in owners.values()}
    if names and executor.cluster.states(names) is None:
        raise ExecutorError(
            f"{executor.cluster.title} does not answer, so no job was cancelled. Rerun the command later."
        )
    executor.cluster.cancel(names)
    for name, owner in owners.items():
        if owner.queued:
            store.release(name, owner.job)
    return len(names)
