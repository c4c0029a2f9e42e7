"""Runs functions that execute the user's code in a helper process, so that the command's own process does not."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from subprocess import PIPE, Popen
from typing import Any, TypeVar

from ablate.machine import end_with_parent
from ablate.planning.failure_reason import diagnosis

Answer = TypeVar("Answer")
Failed = TypeVar("Failed")

WORTHWHILE = 16
"""The number of questions for which another process, which imports PyTorch, takes less time."""

MARK = b"\n--- answers ---\n"
"""Written before the answers, because the user's code may print to stdout."""


def asked(
    function: Callable[..., Answer], questions: Sequence[tuple[Any, ...]], failed: Callable[[str], Failed]
) -> list[Answer | Failed]:
    """What ``function`` returns for the arguments of each question, or ``failed`` of an error in one line.

    Many questions are divided among several processes.
    """
    count = min(cores(), max(len(questions) // WORTHWHILE, 1))
    size = max(-(-len(questions) // count), 1)
    parts = [questions[start : start + size] for start in range(0, len(questions), size)]
    with ExitStack() as stack:
        helpers = [stack.enter_context(helper(function, part, alone=count == 1)) for part in parts]
        ends = [(*process.communicate(), process.returncode) for process in helpers]
    answers: list[Answer | Failed] = []
    for part, (output, errors, code) in zip(parts, ends, strict=True):
        _, mark, answered = output.rpartition(MARK)
        if code != 0 or not mark:
            said = errors.decode(errors="replace").strip().splitlines()
            answers += [failed(said[-1] if said else f"exit code {code}") for _ in part]
        else:
            answers += [answer if error is None else failed(error) for answer, error in pickle.loads(answered)]
    return answers


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def helper(
    function: Callable[..., object], questions: Sequence[tuple[Any, ...]], *, alone: bool
) -> Iterator[Popen[bytes]]:
    """A process that answers questions; it ends with the context."""
    words = [sys.executable, "-P", "-m", "ablate.planning.helper_process"]
    threads = {} if alone else {"OMP_NUM_THREADS": "1"}
    with Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**os.environ, **threads}) as process:
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError), process.stdin as stream:  # it may have died
                stream.write(pickle.dumps((function, questions)))
            process.stdin = None
            yield process
        finally:
            process.kill()


def answer() -> None:
    """In the helper process: answer each question, or give its error."""
    end_with_parent()
    function, questions = pickle.loads(sys.stdin.buffer.read())
    found: list[tuple[object, str | None]] = []
    for question in questions:
        try:
            found.append((function(*question), None))
        except (Exception, SystemExit) as error:
            status, reason = diagnosis(error)
            found.append((None, f"no effect: {reason}" if status == "no_effect" else reason))
    sys.stdout.flush()
    sys.stdout.buffer.write(MARK + pickle.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    answer()
