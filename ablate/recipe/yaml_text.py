"""Parses YAML 1.2 into nodes with positions. No tags, merge keys, NaN or infinity."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from ablate.recipe.node import Node, Problems, Scalar, plain_scalar, show
from ablate.recipe.problems import Position, Problem, RecipeError

MOST_NODES = 20_000
"""Maximum number of values in a recipe after expanding aliases; stops alias bombs."""

DEEPEST = 50
"""Maximum number of nested lists and mappings."""


def read_yaml(text: str, source: str, *, place: Position | None = None, path: str = "") -> Node | None:
    """The document in ``text``, None if it is empty. For a flag's value, ``place`` is its position, ``path`` its name.

    Raises `RecipeError`: one problem for invalid syntax, otherwise all problems.
    """
    problems = Problems()
    try:
        document = _Composer(text, source, place, problems).document(path)
    except _Stop:
        document = None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = place or Position(source, mark.line + 1, mark.column + 1) if mark else Position(source)
        problems.add(position, _syntax(error))
    except ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        position = place or position_at(text, error.position, source)
        problems.add(position, f"The character U+{code:04X} is not allowed in YAML.")
    except Exception:  # the parser also raises AssertionError, LookupError and others for invalid text
        problems.add(place or Position(source), "Invalid YAML. Check the syntax.")
    problems.check()
    return document


def _syntax(error: MarkedYAMLError) -> str:
    context = re.sub(r"\s+", " ", error.context or "")
    problem = re.sub(r"\s+", " ", error.problem or "the syntax is broken").replace("'\\x00'", "the end")
    hint = " Indent with spaces, not tabs." if "'\\t'" in problem else ""
    if "',' or '}', but got '{'" in problem:
        hint = " Quote text that contains { or }."
    if "mapping values are not allowed" in problem:
        hint = " Quote text that contains ': ', or check the indentation."
    return f"Invalid YAML: {context + ', ' if context else ''}{problem}.{hint}"


class _Stop(Exception):
    """The rest of the text cannot be read."""


class _Composer:
    """Builds nodes from ruamel's events, which tell quoted and tagged scalars from others."""

    def __init__(self, text: str, source: str, place: Position | None, problems: Problems) -> None:
        self.events = YAML(typ="safe", pure=True).parse(text)
        self.source, self.place, self.problems = source, place, problems
        self.anchors: dict[str, Node | None] = {}

    def next(self) -> tuple[str, Any]:
        event = next(self.events)
        return type(event).__name__.removesuffix("Event"), event

    def position(self, event: Any) -> Position:
        return self.place or Position(self.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def document(self, path: str) -> Node | None:
        root: Node | None = None
        documents = 0
        while True:
            kind, event = self.next()
            if kind == "StreamEnd":
                return root
            if kind in ("StreamStart", "DocumentEnd"):
                continue
            if kind == "DocumentStart":
                documents += 1
                if documents > 1:
                    self.stop(event, "A recipe must be a single YAML document. Remove the line '---'.")
                continue
            node = self.node(kind, event, path, 0)
            root = None if node.value is None else node

    def stop(self, event: Any, text: str) -> None:
        self.problems.add(self.position(event), text)
        raise _Stop

    def node(self, kind: str, event: Any, path: str, depth: int) -> Node:
        where = path or "the recipe"
        if depth > DEEPEST:
            self.stop(event, f"{show(where)} is nested more than {DEEPEST} levels deep.")
        if kind == "Alias":
            known = self.anchors.get(event.anchor, ...)
            if known is ...:
                self.stop(event, f"{where} (=*{event.anchor}) must refer to an anchor &{event.anchor} above it.")
            if known is None:
                self.stop(event, f"{where} (=*{event.anchor}) must not contain itself.")
            assert isinstance(known, Node)
            return known
        if event.tag is not None:
            text = f"{where} has the tag {event.tag}. Tags are not supported. Remove it."
            self.problems.add(self.position(event), text)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = {"Scalar": self.scalar, "SequenceStart": self.sequence, "MappingStart": self.mapped}[kind](
            event, path, depth
        )
        if node.size > MOST_NODES:
            self.stop(event, f"{where} must have at most {MOST_NODES} values after expanding aliases.")
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def scalar(self, event: Any, path: str, depth: int) -> Node:
        position, text = self.position(event), str(event.value)
        value: Scalar = text
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.problems.add(position, f"{path or 'the recipe'} must not contain a lone surrogate.")
            value = text.encode("utf-8", "replace").decode()
        elif event.style is None:
            try:
                value = plain_scalar(text)
            except ValueError as rule:
                self.problems.add(position, f"{path or 'the recipe'} (={show(text)}) {rule}")
                value = 0
        return Node(value, position)

    def sequence(self, event: Any, path: str, depth: int) -> Node:
        items: list[Node] = []
        while (following := self.next())[0] != "SequenceEnd":
            items.append(self.node(*following, f"{path}[{len(items)}]", depth + 1))
        return Node(tuple(items), self.position(event), size=1 + sum(item.size for item in items))

    def mapped(self, event: Any, path: str, depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        size = 1
        while (following := self.next())[0] != "MappingEnd":
            key = self.key(*following, path, depth)
            position = self.position(following[1])
            below = f"{path}.{key}" if path else key or ""
            value = self.node(*self.next(), below, depth + 1)
            size += value.size
            if key is None:
                continue
            if key in entries:
                first = keys[key]
                line = f" (first on line {first.line})" if first.line else ""
                self.problems.add(position, f"{below} is defined twice{line}. Remove one of them.")
            entries[key], keys[key] = value, position
        return Node(entries, self.position(event), keys, size)

    def key(self, kind: str, event: Any, path: str, depth: int) -> str | None:
        node = self.node(kind, event, path, depth + 1)
        where = f" in {path}" if path else ""
        if node.items is not None or node.mapping is not None:
            self.problems.add(self.position(event), f"Keys must be strings, but a key{where} is a list or a mapping.")
            return None
        if node.text is None:
            shown = show(node)
            self.problems.add(self.position(event), f"key (={shown}){where} must be a string. Quote it: '{shown}'.")
            return None
        if node.text == "<<" and kind == "Scalar" and event.style is None:
            text = f"'<<'{where} is not part of YAML 1.2. Write the keys out, or define a trick under 'tricks'."
            self.problems.add(self.position(event), text)
            return None
        return node.text


def decode(data: bytes, source: str) -> str:
    """Decode UTF-8. Raises `RecipeError` with the position of the first invalid byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        text = f"byte (=0x{data[error.start]:02x}) is not UTF-8. Save the recipe as UTF-8."
        raise RecipeError([Problem(position_at(before, len(before), source), text)]) from None


def position_at(text: str, index: int, source: str) -> Position:
    """The line and column of a character."""
    return Position(source, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
