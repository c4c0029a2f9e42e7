"""Runs functions that execute the user's code in a helper process, so that the command's own process does not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ablate.planning.failure_reason import diagnosis

Answer = TypeVar("Answer")
Failed = TypeVar("Failed")

MARK = b"\n--- answers ---\n"
"""Written before the answers, because the user's code may print to stdout."""


def asked(
    function: Callable[..., Answer], questions: Sequence[tuple[Any, ...]], failed: Callable[[str], Failed]
) -> list[Answer | Failed]:
    """What ``function`` returns for the arguments of each question, or ``failed`` of an error in one line."""
    words = [sys.executable, "-P", "-m", "ablate.planning.helper_process"]
    done = subprocess.run(words, input=pickle.dumps((function, questions)), capture_output=True, check=False)
    _, mark, answers = done.stdout.rpartition(MARK)
    if done.returncode != 0 or not mark:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return [failed(said[-1] if said else f"exit code {done.returncode}") for _ in questions]
    return [answer if error is None else failed(error) for answer, error in pickle.loads(answers)]


def answer() -> None:
    """In the helper process: answer each question, or give its error."""
    function, questions = pickle.loads(sys.stdin.buffer.read())
    found: list[tuple[object, str | None]] = []
    for question in questions:
        try:
            found.append((function(*question), None))
        except Exception as error:
            status, reason = diagnosis(error)
            found.append((None, f"no effect: {reason}" if status == "no_effect" else reason))
    sys.stdout.flush()
    sys.stdout.buffer.write(MARK + pickle.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    answer()
