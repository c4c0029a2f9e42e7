"""Errors in a recipe with their positions. All other files of this package may import this one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """A position in a recipe: file (or flag), line and column, both from 1; line 0 if there is none."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One error in a recipe: its position, and one line of text with the error and its fix."""

    position: Position
    text: str

    def __str__(self) -> str:
        return f"{self.position}: {self.text}" if self.position.source else self.text


class RecipeError(ValueError):
    """All errors in a recipe; ``str()`` has one line per error."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Problems:
    """Collects errors; the same text at the same position counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, position: Position, text: str) -> None:
        """Add an error; ``text`` is one line."""
        self._found.setdefault(Problem(position, text))

    def __len__(self) -> int:
        return len(self._found)

    def all(self) -> list[Problem]:
        """All errors so far, in the order in which they were added."""
        return list(self._found)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add several errors."""
        for problem in problems:
            self._found.setdefault(problem)

    def check(self) -> None:
        """Raise `RecipeError` with all errors, in the order of the file, if there are any."""
        if self._found:
            raise RecipeError(sorted(self._found, key=lambda p: (p.position.line, p.position.column)))
