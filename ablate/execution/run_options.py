"""How to train, as the command line and Python give it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to train. No option changes a result. Raises ValueError for a number that is too small.

    ``jobs``: number of parallel processes, None for one per core or GPU (or ``jobs_per_gpu``). ``threads``: CPU threads
    per process. ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``. ``timeout``: seconds after which a job ends,
    with status ``timeout``. ``retries``: number of times that a job is resumed after its process was killed.
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

    def __post_init__(self) -> None:
        for name, least in (("jobs", 1), ("threads", 1), ("timeout", 1), ("retries", 0), ("jobs_per_gpu", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"--{name.replace('_', '-')} (={value:g}) must be at least {least}.")
