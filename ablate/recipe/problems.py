"""What is wrong with a recipe, with its place. Everything else in this room builds on this file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """A place in a recipe: file (or flag), line and column, both from 1; line 0 where there is none."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe, in one line: where, and what is wrong with the way out."""

    position: Position
    text: str

    def __str__(self) -> str:
        return f"{self.position}: {self.text}"


class RecipeError(ValueError):
    """All that is wrong with a recipe, reported together; ``str()`` gives a line each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Problems:
    """Collects what is wrong; the same text at the same place counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, position: Position, text: str) -> None:
        """Note a problem; ``text`` is one line."""
        self._found.setdefault(Problem(position, text))

    def __len__(self) -> int:
        return len(self._found)

    def all(self) -> list[Problem]:
        """What was found so far, in the order in which it was."""
        return list(self._found)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note several."""
        for problem in problems:
            self._found.setdefault(problem)

    def check(self) -> None:
        """Raise `RecipeError` with all of them, in the order of the file, if there are any."""
        if self._found:
            raise RecipeError(sorted(self._found, key=lambda p: (p.position.line, p.position.column)))
