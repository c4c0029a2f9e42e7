"""Errors in a recipe with their positions. All other files of this room may import this one."""

from __future__ import annotations

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
