"""A variant's list of changes: those of its parent without what it removes, followed by what it adds and sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.recipe.entries import Item, read_item
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.shape import Shape, composed, did_you_mean, unseen_rule
from ablate.recipe.variant import Change
from ablate.registry import entries

MOST_CHANGES = 10_000
"""Maximum number of changes of one variant, with inherited ones and with bundles expanded.

Enough for 10 changes in each of 1000 variants; stops bundles that grow exponentially.
"""


@dataclass(frozen=True)
class Assignment:
    """One line of a ``set``: a dotted path, the value and the position of the path."""

    path: str
    value: Node
    position: Position


@dataclass(frozen=True)
class Step:
    """One primitive change: a trick added or a value set. ``owners``: names by which a later variant can remove it."""

    item: Item | None
    assignment: Assignment | None
    owners: frozenset[str]


@dataclass(frozen=True)
class Own:
    """The changes written in one variant or bundle itself. ``where`` is its path in the recipe, for messages."""

    where: str
    remove: tuple[tuple[str, Position], ...] = ()
    add: tuple[Item, ...] = ()
    set: tuple[Assignment, ...] = ()

    def changes(self, row: str) -> tuple[Change, ...]:
        """The changes as plain values, in the order in which they are applied."""
        return (
            *(Change(row, "remove", name) for name, _ in self.remove),
            *(Change(row, "add", item.key, item.value) for item in self.add),
            *(Change(row, "set", line.path, line.value.plain()) for line in self.set),
        )


@dataclass(frozen=True)
class Bundle:
    """A trick defined in the recipe under ``tricks``: one name for several changes."""

    name: str
    description: str
    own: Own


def read_own(shape: Shape, problems: Problems) -> Own:
    """The keys ``remove``, ``add`` and ``set`` of a variant or bundle, which are applied in this order."""
    remove: list[tuple[str, Position]] = []
    for i, node in enumerate(shape.items("remove", "[flip]")):
        if node.text:
            remove.append((node.text, node.position))
        else:
            problems.wrong(node, f"{shape.where('remove')}[{i}]", "must be the name of a trick.")
    items = [
        read_item(node, f"{shape.where('add')}[{i}]", "trick", problems)
        for i, node in enumerate(shape.items("add", "[flip]"))
    ]
    lines = [Assignment(path, value, place) for path, value, place in shape.pairs("set", "{epochs: 100}")]
    check_length({line.path: line.value for line in lines}, problems)
    return Own(shape.path, tuple(remove), tuple(item for item in items if item is not None), tuple(lines))


def check_length(given: Mapping[str, Node], problems: Problems) -> None:
    """Report ``steps`` and ``epochs`` in the same place: the later one would replace the other."""
    if {"steps", "epochs"} <= given.keys():
        rule = f"cannot be combined with epochs (={show(given['epochs'])}). Remove one of them."
        problems.wrong(given["steps"], "steps", rule)


def read_bundles(shape: Shape, problems: Problems) -> dict[str, Bundle]:
    """The recipe's ``tricks``: ``{name: {add: […], set: {…}, description: …}}``."""
    bundles: dict[str, Bundle] = {}
    library, looks = {entry.name for entry in entries("trick")}, set[str]()
    for name, node, place in shape.pairs("tricks", "{longer: {set: {epochs: 100}}}"):
        path = f"tricks.{show(name)}"
        if name in library:
            problems.add(place, f"{path}: {show(name)} is the name of a built-in trick. Choose another name.")
        if (rule := unseen_rule(name)) is not None:
            problems.add(place, f"{path} {rule}")
        if name not in bundles and composed(name) in looks:
            problems.add(place, f"{path} looks like the name of another trick. Choose another name.")
        looks.add(composed(name))
        below = Shape(node, path, "a trick", problems)
        below.only(
            ("add", "set", "description"),
            {"remove": "is not allowed in a trick. Use 'remove' in the variant instead."},
        )
        own = read_own(below, problems)
        if node.mapping is not None and not (own.add or own.set or below.get("add") or below.get("set")):
            problems.add(place, f"{path} has no changes. Add 'add' or 'set'.")
        bundles[name] = Bundle(name, below.text("description"), own)
    return bundles


def extend(
    inherited: tuple[Step, ...],
    owns: Sequence[Own],
    bundles: Mapping[str, Bundle],
    parent: str | None,
    problems: Problems,
    *,
    elsewhere: bool = False,
) -> tuple[Step, ...]:
    """The parent's steps after the changes of each of ``owns`` in turn, with bundles expanded.

    ``elsewhere``: the changes were written for another parent, so changes to tricks that are not in use are ignored.
    """
    steps = list(inherited)
    for own in owns:
        for i, (name, place) in enumerate(own.remove):
            kept = [step for step in steps if name not in step.owners]
            if len(kept) == len(steps) and not elsewhere:
                known = sorted({owner for step in steps for owner in step.owners})
                have = f"Its tricks: {', '.join(known)}." if known else "It has no tricks."
                rule = f"is not used by the parent {show(parent)}. {have}{did_you_mean(name, known)}"
                problems.add(place, f"{own.where}.remove[{i}] (={show(name)}) {rule}")
            steps = kept
        try:
            _append(steps, own, bundles, (), problems, elsewhere)
        except _TooMany:
            place = own.add[0].position if own.add else own.set[0].position
            problems.add(place, f"{own.where} must have at most {MOST_CHANGES} changes, including those of its tricks.")
            return inherited
    return tuple(steps)


class _TooMany(Exception):
    """A variant has more than `MOST_CHANGES` changes."""


def _append(
    steps: list[Step],
    own: Own,
    bundles: Mapping[str, Bundle],
    inside: tuple[str, ...],
    problems: Problems,
    elsewhere: bool,
) -> None:
    for item in own.add:
        name = item.name
        if name is not None and name in bundles:
            if name in inside:
                problems.add(item.position, f"tricks.{show(name)} must not contain itself.")
                continue
            if item.value is not None:
                text = f"{show(name)} (={show(item.arguments)}) is defined in this recipe and has no settings."
                problems.add(item.arguments.position, f"{text} Write the name only.")
            _append(steps, bundles[name].own, bundles, (*inside, name), problems, elsewhere)
        else:
            steps.append(Step(item, None, frozenset((*inside, item.key))))
        if len(steps) > MOST_CHANGES:
            raise _TooMany
    for line in own.set:
        owners = _owners_of_trick(steps, line.path)
        if elsewhere and not owners and line.path.startswith("tricks."):
            continue
        steps.append(Step(None, line, frozenset(inside) | owners))
        if len(steps) > MOST_CHANGES:
            raise _TooMany


def _owners_of_trick(steps: list[Step], path: str) -> frozenset[str]:
    """The owners of a trick's setting: removing the trick, or the bundle that added it, removes the setting too."""
    head, _, rest = path.partition(".")
    if head == "tricks":
        for step in reversed(steps):
            if step.item is not None and (rest == step.item.key or rest.startswith(f"{step.item.key}.")):
                return step.owners
    return frozenset()
