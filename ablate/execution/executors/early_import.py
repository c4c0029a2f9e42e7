"""Processes that import the module of a data function while another process calls it, and then wait for a job:
importing libraries may take seconds.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablate.data.load import steady_generators
from ablate.data.side_effects import of_process
from ablate.execution.jobs import Job
from ablate.execution.preparation import redirected
from ablate.recipe.settings import Choice
from ablate.recipe.targets import search_also
from ablate.registry.lazy import torch

UNFIT = 113
"""Exit code of a process in which no job may begin: the import failed, or changed what jobs set themselves."""


@dataclass(frozen=True)
class EarlyImport:
    """A process that imports a module, and waits. ``job`` is a file in memory for its job, ``told`` the end of a pipe
    through which it hears of it.
    """

    pid: int
    module: tuple[str, Path | None]
    job: int
    told: int

    def give(self, job: Job) -> None:
        """Let it be the process of a job."""
        with open(self.job, "wb") as file:
            pickle.dump(job, file)
        with suppress(BrokenPipeError):  # it has ended, and its job will start again
            os.write(self.told, b"!")
        os.close(self.told)


def module_of(choice: Choice, folder: Path | None) -> tuple[str, Path | None]:
    """What is imported for a data function."""
    return str(choice.target).partition(":")[0], folder


def import_and_wait(choice: Choice, folder: Path | None, file: int, tell: int, channel: int) -> None:
    """The body of such a process: its job is in ``file`` as soon as ``tell`` can be read. What the import printed goes
    to the job's log.
    """
    from ablate.execution.worker import main

    null = os.open(os.devnull, os.O_WRONLY)
    search_also(folder)
    before = of_process()
    with tempfile.TemporaryFile() as printed:
        try:
            with redirected(printed, null), steady_generators():
                choice.resolve(folder)
            on_gpu: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
            fit = of_process() == before and not on_gpu  # a job chooses its GPU before it imports
        except (Exception, SystemExit):
            fit = False
        if not fit:
            os._exit(UNFIT)
        printed.seek(0)
        text = printed.read()
    if os.read(tell, 1):
        with open(file, "rb") as given:
            given.seek(0)
            job = pickle.load(given)
        main(job, channel, text)
