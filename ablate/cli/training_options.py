"""The options of ``run`` that say how to train."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import option

if TYPE_CHECKING:
    from ablate.execution.run_options import RunOptions

CLUSTERS = ("slurm", "ray")
"""Executors with an option for their resources."""


@dataclass(frozen=True)
class Training:
    """The options that say how to train."""

    jobs: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="Number of parallel processes, or auto (one per core or GPU). On a cluster, number of jobs that are "
            "queued or running at once (auto: 100).",
        ),
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of CPU threads per process (default: 1, more if cores would be idle)."),
    ] = None
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto"
    executor: Annotated[
        str, typer.Option(metavar="EXECUTOR", help="Where to train: local (this machine), slurm or ray.")
    ] = "local"
    slurm: Annotated[
        list[str] | None,
        option(
            "OPTIONS", "Options of sbatch without --, such as partition=gpu,time=4:00:00,gres=gpu:1. Can be repeated."
        ),
    ] = None
    ray: Annotated[
        list[str] | None,
        option("OPTIONS", "Options of Ray's tasks, such as num_gpus=0.5,address=10.0.0.1:6379. Can be repeated."),
    ] = None
    runs_per_job: Annotated[
        int, typer.Option(metavar="N", help="Number of jobs that one job of the cluster runs one after another.")
    ] = 1
    jobs_per_gpu: Annotated[int, typer.Option(metavar="N", help="Number of parallel processes per GPU.")] = 1
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit all jobs to Slurm and exit without waiting for them.")
    ] = False
    timeout: Annotated[float | None, option("SECONDS", "Time limit of a job in seconds.")] = None
    retries: Annotated[
        int, typer.Option(metavar="N", help="Number of times that a job is restarted after its process was killed.")
    ] = 1
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retrain failed, diverged and timed-out runs.")
    ] = False
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start no further jobs after the first failure.")] = (
        False
    )
    fresh: Annotated[bool, typer.Option("--fresh", help="Retrain all selected variants from scratch.")] = False

    def options(self) -> RunOptions:
        """What these options ask for. Raises ValueError."""
        from ablate.execution.executors.find import checked_name, resources_of
        from ablate.execution.run_options import RunOptions

        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in CLUSTERS}
        given: dict[str, list[str]] = {name: getattr(self, name) or [] for name in CLUSTERS}
        for name in CLUSTERS:
            if given[name] and name != self.executor:
                raise ValueError(f"--{name} (={given[name][0]}) requires --executor {name}.")
        name = checked_name(self.executor)
        resources = {} if name == "local" else resources_of(name, given.get(name, []))
        return RunOptions(**{**values, "jobs": number_of(self.jobs), "resources": resources})


def number_of(jobs: str) -> int | None:
    """The number in ``--jobs``, None for auto. Raises ValueError for anything else."""
    if jobs == "auto":
        return None
    if not jobs.isdecimal() or int(jobs) < 1:
        raise ValueError(f"--jobs (={jobs}) must be auto or an integer greater than 0.")
    return int(jobs)
