"""One item of ``add``, ``metrics`` or ``watch``: a name or a target, with its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ablate.recipe.node import Node, Problems
from ablate.recipe.problems import Position
from ablate.registry import UnknownName, entries, lookup


@dataclass(frozen=True)
class Item:
    """An entry with its ``arguments``: a mapping, or the bare value of the field that its class names ``shorthand``."""

    name: str | None
    target: str | None
    arguments: Node
    position: Position

    @property
    def key(self) -> str:
        """The name, or the whole target."""
        return self.name or self.target or ""

    @property
    def label(self) -> str:
        """The name for display: the entry's name, or the target's attribute."""
        return self.name or str(self.target).rpartition(":")[2]

    @property
    def value(self) -> Any:
        """The settings as plain values, None if the recipe gives none."""
        plain = self.arguments.plain()
        return None if plain == {} else plain


def read_item(node: Node, path: str, kind: str, problems: Problems) -> Item | None:
    """Read ``flip``, ``{dropout: {p: 0.5}}``, ``{weight_decay: 0.1}``, ``{name: flip, share: 0.5}`` or a target.

    A target is ``{target: module:attribute, …}``.
    """
    if node.text:
        return Item(node.text, None, Node({}, node.position), node.position)
    if not node.mapping:
        rule = "must be a name, or a name with settings, such as {name: {setting: value}}."
        problems.wrong(node, path, rule)
        return None
    named = [key for key in ("name", "target") if key in node.mapping]
    if len(named) == 2 and _has_field(kind, node.mapping["name"].text, "target"):
        named = ["name"]
    if len(named) == 2:
        problems.add(node.key_position("target"), f"{path} must not have both 'name' and 'target'. Remove one of them.")
        return None
    if named:
        word = node.mapping[named[0]]
        if not word.text:
            problems.wrong(word, f"{path}.{named[0]}", "must be a string.")
            return None
        name, target = (word.text, None) if named == ["name"] else (None, word.text)
        return Item(name, target, node.without(*named), word.position)
    if len(node.mapping) > 1:
        first, second, *_ = node.mapping
        known = {entry.name for entry in entries(kind)}
        if second in known:
            text = f"must have one {kind} per item. Write '{first}' and '{second}' as separate items."
        else:
            way = f"{{{first}: {{{second}: …}}}} or {{name: {first}, {second}: …}}"
            text = f"has '{second}' next to '{first}'. Write {way}."
        problems.add(node.key_position(second), f"{path} {text}")
        return None
    [(key, value)] = node.mapping.items()
    arguments = Node({}, value.position) if value.value is None else value
    return Item(key, None, arguments, node.key_position(key))


def _has_field(kind: str, name: str | None, field: str) -> bool:
    """Whether an entry has a setting of that name: the ``target`` of the dataset csv is a column, not a module."""
    return any(entry.name == name and field in entry.settings.model_fields for entry in entries(kind))


def mapped_arguments(kind: str, item: Item, path: str, problems: Problems) -> Node | None:
    """The item's arguments as a mapping: a bare value is assigned to the field that its class names ``shorthand``.

    None, and a problem, if there is no such field. Arguments of unknown names are kept: the builder reports the name.
    """
    node = item.arguments
    try:
        settings = lookup(kind, item.name).settings if item.name is not None else None
    except UnknownName:
        return node if node.mapping is not None else Node({}, node.position)
    fields = settings.model_fields if settings is not None else {}
    short = settings.shorthand if settings is not None else None
    if node.mapping is not None:
        rules = {entry.name for entry in entries("schedule")}
        if not short or any(key in fields for key in node.mapping) or not rules.intersection(node.mapping):
            return node
    elif not short:
        rule = f"is not allowed: {item.key} has no settings. Remove the value."
        if fields:
            rule = f"must be a mapping of settings, such as {{{item.key}: {{{next(iter(fields))}: …}}}}."
        problems.wrong(node, path, rule)
        return None
    return Node({short: node}, node.position, {short: node.position})
