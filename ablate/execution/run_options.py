"""How to train, as the command line and Python give it, and the devices that jobs run on. Does not import torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ablate.planning.helper_process import cores

RANGES = {
    "jobs": (1, 1024),
    "threads": (1, 1024),
    "timeout": (1, 365 * 24 * 3600),
    "retries": (0, 1000),
    "jobs_per_gpu": (1, 1024),
    "runs_per_job": (1, 10_000),
}
"""The least and the greatest value of each number; beyond, no process or timer could be started."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to train. No option changes a result. Raises ValueError for a number that is out of range.

    ``jobs``: number of parallel processes, None for one per core or GPU (or ``jobs_per_gpu``). ``threads``: CPU threads
    per process, None for one, or more for the last jobs if cores would be idle (`ablate.execution.schedule`).
    ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``. ``timeout``: seconds after which a job ends, with status
    ``timeout``. ``retries``: number of times that a job is resumed after its process was killed.

    ``executor``: what runs the jobs, and ``resources`` what it is asked for. On a cluster, ``jobs`` is the number of
    jobs that are queued or running at once, ``runs_per_job`` how many share a job of the cluster, and ``look_every``
    the seconds between two looks at its queue; ``detach``: submit all jobs and do not wait for them.
    """

    jobs: int | None = None
    threads: int | None = None
    device: str = "auto"
    retry_failed: bool = False
    fail_fast: bool = False
    fresh: bool = False
    timeout: float | None = None
    retries: int = 1
    jobs_per_gpu: int = 1
    executor: str = "local"
    resources: Mapping[str, str] = field(default_factory=dict)
    runs_per_job: int = 1
    look_every: float = 5.0
    detach: bool = False

    def __post_init__(self) -> None:
        if self.detach and self.executor not in LASTING:
            raise ValueError(
                f"--detach requires --executor {LASTING[0]}. Jobs of --executor {self.executor} end with the command."
            )
        if self.runs_per_job > 1 and self.executor == "local":
            raise ValueError(
                f"--runs-per-job (={self.runs_per_job}) requires a cluster, such as --executor slurm. Remove it."
            )
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is None or least <= value <= most:
                continue
            rule = f"at most {most}" if value > most else f"at least {least}"
            way_out = ". Omit it for no time limit" if name == "timeout" and value > most else ""
            raise ValueError(f"--{name.replace('_', '-')} (={value:g}) must be {rule}{way_out}.")


LASTING = ("slurm",)
"""Executors whose jobs go on when the command ends."""

QUEUED = 100
"""Jobs that are queued or running at once on a cluster, unless the user says otherwise."""


def slots(options: RunOptions) -> list[str]:
    """A slot for each job that may run in parallel: on GPUs if there are any (``auto``), otherwise on CPU cores.

    Raises ValueError for a GPU that is not available.
    """
    gpus, device = visible_gpus(), options.device
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdecimal())):
        raise ValueError(f"--device (={device}) must be auto, cpu, cuda or cuda:N.")
    if options.executor != "local":
        if device == "auto":
            device = "cuda:0" if wants_gpu(options.resources) else "cpu"
        return [device] * (options.jobs or QUEUED)
    if kind == "cuda" and not gpus:
        raise ValueError(f"--device (={device}) requires a CUDA device, but none is available. Use --device cpu.")
    if index:
        if int(index) >= gpus:
            last = f"cuda:0 to cuda:{gpus - 1}, the devices" if gpus > 1 else "cuda:0, the only device"
            raise ValueError(f"--device (={device}) must be one of {last} visible to this process.")
        return [device] * (options.jobs or options.jobs_per_gpu)
    if kind == "cuda" or (kind == "auto" and gpus):
        count = options.jobs or gpus * options.jobs_per_gpu
        return [f"cuda:{i % gpus}" for i in range(count)]
    return ["cpu"] * (options.jobs or max(cores() // (options.threads or 1), 1))


def chooses_threads(options: RunOptions) -> bool:
    """Whether slots are cores, which jobs share by their numbers of threads."""
    given = (options.jobs, options.threads)
    return given == (None, None) and options.executor == "local" and slots(options)[0] == "cpu"


def wants_gpu(resources: Mapping[str, str]) -> bool:
    """Whether a job of a cluster is to get a GPU."""
    asked = {name: value for name, value in resources.items() if value.strip("0.") or not value}
    return any("gpu" in name or (name == "gres" and "gpu" in value) for name, value in asked.items())


def visible_gpus() -> int:
    """The number of CUDA devices of this process, from the driver's files and ``CUDA_VISIBLE_DEVICES``."""
    there = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) or len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    named = [part for part in visible.split(",") if part.strip() and part.strip() != "-1"]
    return min(there, len(named))
