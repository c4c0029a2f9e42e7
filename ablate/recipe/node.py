"""The values of a recipe with their positions, and the collector of its errors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.printable import shortened
from ablate.recipe.problems import Position, Problem, RecipeError


class Problems:
    """Collects errors; the same text at the same position counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def add(self, position: Position, text: str) -> None:
        """Add an error; ``text`` is one line. Characters that are not printed are escaped: names may contain any."""
        if not text.isprintable():
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
        self._found.setdefault(Problem(position, text))

    def wrong(self, node: Node, path: str, rule: str) -> None:
        """Add the error of a value: its path, the value, the rule."""
        self.add(node.position, f"{path} (={show(node)}) {rule}")

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


Scalar = str | int | float | bool | None

INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
CONSTANTS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
CONSTANTS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar by YAML 1.2's core schema: ``1e-3`` is a number, ``yes`` is a string.

    Raises ValueError with the broken rule for NaN, infinity, and integers that do not fit into 64 bits.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        bases = {"0o": 8, "0x": 16}
        if len(text) > 30 or not -(2**63) <= (number := int(text, bases.get(text[:2], 10))) < 2**63:
            raise ValueError("must fit into 64 bits.")
        return number
    is_float = FLOAT.fullmatch(text)
    if NOT_FINITE.fullmatch(text) or (is_float and not math.isfinite(float(text))):
        raise ValueError("must be a finite number.")
    return float(text) if is_float else text


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a tuple of nodes, or a mapping of nodes, with its position. Immutable, so that variants can share it.

    ``keys`` has the position of each key of a mapping. ``size`` is the number of nodes in this tree, aliases expanded.
    """

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    position: Position
    keys: Mapping[str, Position] = field(default_factory=dict)
    size: int = 1

    @property
    def mapping(self) -> Mapping[str, Node] | None:
        """The entries of a mapping, None for anything else."""
        return self.value if isinstance(self.value, Mapping) else None

    @property
    def items(self) -> tuple[Node, ...] | None:
        """The items of a list, None for anything else."""
        return self.value if isinstance(self.value, tuple) else None

    @property
    def text(self) -> str | None:
        """The text of a string, None for anything else."""
        return self.value if isinstance(self.value, str) else None

    def plain(self) -> Any:
        """The value as plain dicts, lists and scalars."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def key_position(self, key: str) -> Position:
        """The position of a key of this mapping."""
        return self.keys.get(key, self.position)

    def child(self, part: str | int) -> Node | None:
        """The value under a key or at an index, None if there is none."""
        if isinstance(self.value, Mapping):
            return self.value.get(str(part))
        if isinstance(self.value, tuple) and str(part).isdecimal():
            index = int(part)
            return self.value[index] if index < len(self.value) else None
        return None

    def with_child(self, part: str, child: Node, position: Position) -> Node:
        """A copy with one key (written at ``position``) or one existing item replaced."""
        if isinstance(self.value, tuple):
            index = int(part)
            return Node((*self.value[:index], child, *self.value[index + 1 :]), self.position)
        assert isinstance(self.value, Mapping)
        return Node({**self.value, part: child}, self.position, {**self.keys, part: position})

    def without(self, *parts: str) -> Node:
        """A copy of a mapping without some of its keys."""
        assert isinstance(self.value, Mapping)
        return Node({key: node for key, node in self.value.items() if key not in parts}, self.position, self.keys)


def show(value: Any, limit: int = 60) -> str:
    """A value as a recipe would write it, in one line of at most ``limit`` characters."""
    return shortened(_flow(value.plain() if isinstance(value, Node) else value), limit)


def one_line(text: str, limit: int = 60) -> str:
    """Text as it was typed, in one line of at most ``limit`` characters."""
    return shortened(text if text.isprintable() else json.dumps(text), limit)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    if isinstance(value, str) and (not text or not isinstance(_unquoted(text), str)):
        return f"'{text}'"
    return text if text.isprintable() else json.dumps(text)


def _unquoted(text: str) -> Scalar:
    try:
        return plain_scalar(text)
    except ValueError:
        return text
