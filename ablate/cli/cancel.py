"""``ablate cancel``: end the jobs of a study on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import RecipePath, Selection


def cancel(
    recipe: RecipePath,
    selection: Selection,
    executor: Annotated[str, typer.Option(metavar="EXECUTOR", help="Where the jobs are: slurm.")] = "slurm",
) -> int:
    """Cancel the queued and running jobs of a study on a cluster. Unfinished runs keep their last checkpoint.

    Example: ablate cancel digits.yaml
    """
    from ablate.execution.cancelling import cancel_jobs
    from ablate.execution.run_options import RunOptions

    plan = selection.plan(recipe, need_files=False)
    count = cancel_jobs(plan, selection.store, RunOptions(executor=executor))
    say(f"Jobs cancelled: {count}." if count else "No jobs of this study are queued or running on the cluster.")
    return 0
