"""What one item of ``add`` or ``metrics`` says: a name or a target, with its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ablate.recipe.node import Node, show
from ablate.recipe.problems import Position, Problems
from ablate.registry import UnknownName, entries, lookup


@dataclass(frozen=True)
class Item:
    """One named thing. ``arguments`` is a mapping, or the bare value that its settings class has a shorthand for."""

    name: str | None
    target: str | None
    arguments: Node
    position: Position

    @property
    def key(self) -> str:
        """What it is known by among its like: the name, or the whole target."""
        return self.name or self.target or ""

    @property
    def label(self) -> str:
        """What to call a row or a metric after it: the name, or the target's attribute."""
        return self.name or str(self.target).rpartition(":")[2]

    @property
    def value(self) -> Any:
        """Its settings in plain values, None where a recipe gives none."""
        plain = self.arguments.plain()
        return None if plain == {} else plain


def read_item(node: Node, path: str, kind: str, problems: Problems) -> Item | None:
    """``flip``, ``{dropout: {p: 0.5}}``, ``{weight_decay: 0.1}``, ``{name: flip, share: 0.5}`` or ``{target: module:attribute, …}``."""
    if node.text:
        return Item(node.text, None, Node({}, node.position), node.position)
    if not node.mapping:
        problems.add(node.position, f"{path} (={show(node)}) must be a {kind}: a name, or {{name: {{settings}}}}.")
        return None
    named = [key for key in ("name", "target") if key in node.mapping]
    if len(named) == 2 and _has_field(kind, node.mapping["name"].text, "target"):
        named = ["name"]
    if len(named) == 2:
        problems.add(node.key_position("target"), f"{path} has both 'name' and 'target'. Keep one of them.")
        return None
    if named:
        word = node.mapping[named[0]]
        if not word.text:
            problems.add(word.position, f"{path}.{named[0]} (={show(word)}) must be text.")
            return None
        name, target = (word.text, None) if named == ["name"] else (None, word.text)
        return Item(name, target, node.without(*named), word.position)
    if len(node.mapping) > 1:
        first, second, *_ = node.mapping
        known = {entry.name for entry in entries(kind)}
        text = (
            f"{path} has the {kind}s '{first}' and '{second}' in one item. Give each an item of its own."
            if second in known
            else f"{path} has '{second}' beside '{first}'. Write {{{first}: {{{second}: …}}}}, or {{name: {first}, {second}: …}}."
        )
        problems.add(node.key_position(second), text)
        return None
    [(key, value)] = node.mapping.items()
    arguments = Node({}, value.position) if value.value is None else value
    return Item(key, None, arguments, node.key_position(key))


def _has_field(kind: str, name: str | None, field: str) -> bool:
    """Whether a named thing has a setting of that name: a table's ``target`` is a column, not a module."""
    return any(entry.name == name and field in entry.settings.model_fields for entry in entries(kind))


def mapped_arguments(kind: str, item: Item, path: str, problems: Problems) -> Node | None:
    """The item's arguments as a mapping: a bare value goes to the field that its settings class names as ``shorthand``.

    None, and a problem, where there is no such field. Unknown names keep what they have: the builder reports them.
    """
    node = item.arguments
    try:
        settings = lookup(kind, item.name).settings if item.name is not None else None
    except UnknownName:
        return node if node.mapping is not None else Node({}, node.position)
    short = settings.shorthand if settings is not None else None
    if node.mapping is not None:
        rules = {entry.name for entry in entries("schedule")}
        fields = settings.model_fields if settings is not None else {}
        if not short or any(key in fields for key in node.mapping) or not rules.intersection(node.mapping):
            return node
    elif not short:
        fields = settings.model_fields if settings is not None else {}
        way_out = f"such as {{{item.key}: {{{next(iter(fields))}: …}}}}" if fields else "and it has none"
        problems.add(node.position, f"{path} (={show(node)}) must be a mapping of settings by name, {way_out}.")
        return None
    return Node({short: node}, node.position, {short: node.position})
