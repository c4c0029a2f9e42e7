"""Sentences on processes that ended before their jobs did."""

from __future__ import annotations

import signal

from ablate.execution.events import ProcessExited


def given_up(lost: ProcessExited, times: int) -> str:
    """Why no further job is tried."""
    if lost.reason:
        return (
            f"Jobs ended {times} times in a row without any progress (last: {lost.reason}). Check the state and the "
            "limits of the cluster, and rerun the command to resume."
        )
    return (
        f"The server that runs the jobs ended {times} times in a row without any progress (last: {how(lost.code)}). "
        "Check the memory of the machine and the limits of its processes (ulimit -a), and rerun the command to resume."
    )


def death(code: int) -> str:
    """How a process ended that left runs behind, from its exit code."""
    hint = ", possibly because the machine ran out of memory" if code == -signal.SIGKILL else ""
    return f"its process ended with {how(code)}{hint}"


def how(code: int) -> str:
    """``signal 9`` or ``exit code 1``."""
    if code == -signal.SIGXCPU:
        return f"signal {-code}, which enforces the limit on CPU time (ulimit -t)"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
