"""Questions whose answers take the user's code, answered by a helper process: the command's own runs none of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

MARK = b"\n--- answers ---\n"
"""Goes before the answers: users' code prints what it likes."""


def asked(module: str, questions: Sequence[Any]) -> list[dict[str, Any]]:
    """The answers to ``questions`` by ``python -m module``, which calls `answer`; ``{"error": "one line"}`` for each where it broke down."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", module], input=pickle.dumps(list(questions)), capture_output=True, check=False
    )
    _, mark, answers = done.stdout.rpartition(MARK)
    if done.returncode != 0 or not mark:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return [{"error": said[-1] if said else f"exit code {done.returncode}"} for _ in questions]
    found: list[dict[str, Any]] = pickle.loads(answers)
    return found


def answer(function: Callable[[Any], dict[str, Any]]) -> None:
    """Be that process: what ``function`` says to each question, or why it could not."""
    found = []
    for question in pickle.loads(sys.stdin.buffer.read()):
        try:
            found.append(function(question))
        except Exception as error:
            found.append({"error": in_words(error)})
    sys.stdout.flush()
    sys.stdout.buffer.write(MARK + pickle.dumps(found))
    sys.stdout.flush()


def in_words(error: BaseException) -> str:
    """An error in one line; a ValueError, as the library raises, says all by itself."""
    text = " ".join(str(error).split())
    if type(error) is ValueError:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
