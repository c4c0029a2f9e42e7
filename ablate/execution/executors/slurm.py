"""Slurm, by its own commands: ``sbatch``, ``squeue``, ``scontrol`` and ``scancel``. Accounting is not needed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ablate.execution.executors.cluster import Fate, Refused, State
from ablate.execution.executors.executor import ExecutorError

PATIENCE = 60.0
"""Seconds that a command of Slurm may take."""

OURS = {
    "requeue": "",
    "open-mode": "append",
    "signal": "B:TERM@90",
}
"""Options that a user's may replace: a job that loses its node begins again, and is asked to end before its limit."""

FIXED = (
    *("job-name", "output", "error", "input", "array", "wrap", "wait", "parsable", "dependency", "test-only"),
    *("help", "usage", "version"),
)
"""Options that a job needs as they are, or that submit none."""

FULL = ("limit", "MaxSubmit", "temporarily", "Socket timed out", "Unable to contact", "slurmctld")
"""Parts of messages about which a later attempt may succeed."""

FATES: Mapping[str, Fate] = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"), "queued"),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"), "running"),
    **dict.fromkeys(("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "TIMEOUT", "DEADLINE", "REVOKED"), "lost"),
    "COMPLETED": "done",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "OUT_OF_MEMORY": "out_of_memory",
}


def check_options(options: Mapping[str, str]) -> None:
    """Raises ValueError for options that ``sbatch`` cannot have, or that jobs need as they are, also abbreviated."""
    for name, value in options.items():
        given = f"{name}={value}" if value else name
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]+", name):
            raise ValueError(f"--slurm (={given}) must be a long option of sbatch, such as partition=gpu.")
        if any(fixed.startswith(name) for fixed in FIXED):
            raise ValueError(f"--slurm (={given}) is not allowed: ablate sets or omits this option itself. Remove it.")


class Slurm:
    """Jobs on Slurm. ``options`` are those of ``sbatch``, without dashes.

    Raises ExecutorError if Slurm's commands are missing, and ValueError for an option that jobs need as it is.
    """

    title = "Slurm"
    lasting = True

    def __init__(self, options: Mapping[str, str], threads: int = 1) -> None:
        check_options(options)
        missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
        if missing:
            raise ExecutorError(
                f"--executor (=slurm) requires Slurm's commands, but {missing[0]} was not found. Run the command on a "
                "login node of the cluster."
            )
        self.given = options
        self.options = {**OURS, "cpus-per-task": str(threads), **options}
        self._ran: set[str] = set()

    def submit(self, name: str, command: Sequence[str], jobs: bytes, output: Path, after: Collection[str]) -> None:
        """`Cluster.submit`."""
        words = ["sbatch", "--parsable", f"--job-name={name}", f"--output={output}"]
        words += [f"--{key}={value}" if value else f"--{key}" for key, value in self.options.items()]
        if after and (numbers := [number for number, _, _, named in self._list() or () if named in after]):
            words.append(f"--dependency=afterany:{':'.join(numbers)}")
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        # a signal that comes before the worker listens would end it
        lines = (
            "#!/bin/sh",
            f"export OMP_NUM_THREADS={threads}",
            "trap '' TERM",
            f"exec {shlex.join(command)} <<'JOBS'",
        )
        script = "".join(f"{line}\n" for line in lines).encode()
        done = _run(words, script + jobs + b"JOBS\n")
        if done is None:
            if any(named == name for _, _, _, named in self._list() or ()):
                return  # it was queued, and only the answer was late
            raise Refused("sbatch did not answer")
        if done.returncode == 0:
            return
        said = [line.split(": ", 2)[-1] for line in done.stderr.decode(errors="replace").splitlines()]
        reason = "; ".join(filter(None, said))
        if any(part in reason for part in FULL):
            raise Refused(reason)
        reason = reason.rstrip(".") or f"sbatch ended with exit code {done.returncode}"
        given = ",".join(f"{key}={value}" if value else key for key, value in self.given.items())
        raise ExecutorError(
            f"Slurm refused a job: {reason}. Change the options of sbatch (={given or 'none'}) and rerun the command."
        )

    def states(self, names: Collection[str]) -> Mapping[str, State] | None:
        """`Cluster.states`. Jobs that Slurm requeued, which it would hold for two minutes, begin when they can."""
        rows = self._list()
        if rows is None:
            return None
        found: dict[str, State] = {}
        for number, word, reason, name in rows:
            if name not in names:
                continue
            found[name] = State(FATES.get(word, "running"), word)
            if found[name].fate == "running":
                self._ran.add(name)
            elif found[name].fate == "queued" and name in self._ran and reason == "BeginTime":
                self._ran.discard(name)
                _run(["scontrol", "update", f"JobId={number}", "StartTime=now"])
        return found

    def cancel(self, names: Collection[str]) -> None:
        """`Cluster.cancel`."""
        numbers = [number for number, word, _, name in self._list() or () if name in names and not _has_ended(word)]
        if numbers:
            _run(["scancel", *numbers])

    def close(self) -> None:
        """`Cluster.close`."""

    def _list(self) -> list[tuple[str, str, str, str]] | None:
        """The number, state, reason and name of all jobs of this user; None if Slurm does not answer."""
        words = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%A|%T|%r|%j"]
        done = _run(words)
        if done is None or done.returncode != 0:
            return None
        rows = [line.split("|", 3) for line in done.stdout.decode(errors="replace").splitlines()]
        return [(row[0].strip(), row[1], row[2], row[3].strip()) for row in rows if len(row) == 4]


def _has_ended(word: str) -> bool:
    return FATES.get(word, "running") not in ("queued", "running")


def _run(words: Sequence[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes] | None:
    """A command of Slurm; None if it does not end in time."""
    try:
        return subprocess.run(words, input=text, capture_output=True, timeout=PATIENCE)
    except (subprocess.TimeoutExpired, OSError):
        return None
