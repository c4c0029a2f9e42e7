"""Applies a list of changes to a tree of nodes, which keep the position of each value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ablate.recipe.changes import Assignment, Step
from ablate.recipe.entries import Item, mapped_arguments
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.settings import Settings, Training
from ablate.recipe.shape import available, did_you_mean

SECTIONS = ("trainer", "args", *Settings.CHOICES, "metrics", "watch", *Training.model_fields)
"""The first part of a dotted path, except for ``tricks``."""


INSTEAD = {"steps": "epochs", "epochs": "steps"}
"""A setting replaces the other one of the pair."""


@dataclass(frozen=True)
class Tree:
    """Settings before they are checked. ``tricks`` are in the order in which they were first added."""

    sections: Mapping[str, Node] = field(default_factory=dict)
    tricks: Mapping[str, Item] = field(default_factory=dict)


def section(name: str, node: Node) -> Node:
    """The value of a top-level setting; the bare name of an entry becomes ``{name: …}``."""
    if name in ("trainer", *Settings.CHOICES) and node.text is not None:
        return Node({"name": node}, node.position, {"name": node.position})
    return node


def replay(start: Tree, steps: Iterable[Step], problems: Problems) -> Tree:
    """``start`` after the steps, in order. An invalid step is reported and skipped."""
    tree = start
    for step in steps:
        if step.item is not None:
            tree = add_trick(tree, step.item, problems)
        elif step.assignment is not None:
            tree = assign(tree, step.assignment, problems)
    return tree


def add_trick(tree: Tree, item: Item, problems: Problems) -> Tree:
    """Add a trick; a trick that is already in use keeps its place and gets the new settings."""
    arguments = mapped_arguments("trick", item, f"tricks.{item.key}", problems)
    if arguments is None:
        return tree
    return replace(tree, tricks={**tree.tricks, item.key: replace(item, arguments=arguments)})


def assign(tree: Tree, line: Assignment, problems: Problems) -> Tree:
    """Replace the value at a dotted path, whose parent must exist."""
    head, *rest = line.path.split(".")
    if not all((head, *rest)):
        problems.add(line.position, f"path (={show(line.path)}) must have the form optimizer.lr.")
        return tree
    if head == "tricks":
        return _assign_trick(tree, line, problems)
    if head not in SECTIONS:
        hint = available(head, SECTIONS)
        problems.add(line.position, f"{f'{show(line.path)}: ' if rest else ''}{show(head)} is not a setting.{hint}")
        return tree
    if not rest:
        kept = {name: node for name, node in tree.sections.items() if name != INSTEAD.get(head)}
        return replace(tree, sections={**kept, head: section(head, line.value)})
    start = tree.sections.get(head)
    if start is None and head in ("args", "monitor", "checkpoint", "batch"):
        start = Node({}, line.position)
    changed = _replace(start, head, rest, line, problems)
    return tree if changed is None else replace(tree, sections={**tree.sections, head: changed})


def trick_of_path(path: str, tricks: Iterable[str]) -> str | None:
    """The trick that a path ``tricks.<name>…`` refers to: the longest match, because targets contain dots."""
    rest = path.partition(".")[2]
    return max((key for key in tricks if rest == key or rest.startswith(f"{key}.")), key=len, default=None)


def _assign_trick(tree: Tree, line: Assignment, problems: Problems) -> Tree:
    key = trick_of_path(line.path, tree.tricks)
    if key is None:
        name = line.path.partition(".")[2].partition(".")[0]
        if not name:
            problems.add(line.position, "tricks is not a setting. Use 'add' and 'remove'.")
        else:
            hint = available(name, tree.tricks) or " It has no tricks."
            problems.add(line.position, f"{show(line.path)}: trick (={show(name)}) is not used in this variant.{hint}")
        return tree
    item = tree.tricks[key]
    rest = line.path[len("tricks.") + len(key) + 1 :]
    if not rest:
        return add_trick(tree, replace(item, arguments=line.value), problems)
    changed = _replace(item.arguments, f"tricks.{key}", rest.split("."), line, problems)
    return tree if changed is None else replace(tree, tricks={**tree.tricks, key: replace(item, arguments=changed)})


def _replace(node: Node | None, path: str, parts: list[str], line: Assignment, problems: Problems) -> Node | None:
    """``node`` with the value at ``parts`` replaced; None, and a problem, if its parent does not exist."""
    if node is None:
        problems.add(line.position, f"{show(line.path)}: {path} must be set before its settings are changed.")
        return None
    first, *rest = parts
    there = node.child(first)
    if node.mapping is None and (node.items is None or there is None):
        what = f"has no item {show(first)}" if node.items is not None else "has no settings"
        problems.add(line.position, f"{show(line.path)}: {path} (={show(node)}) {what}. Replace {path} as a whole.")
        return None
    if not rest:
        return node.with_child(first, line.value, line.position)
    if there is None:
        hint = did_you_mean(first, node.mapping or ())
        text = f"{show(line.path)}: {path}.{show(first)} must be set before its settings are changed.{hint}"
        problems.add(line.position, text)
        return None
    below = _replace(there, f"{path}.{first}", rest, line, problems)
    return None if below is None else node.with_child(first, below, node.keys.get(first, line.position))
