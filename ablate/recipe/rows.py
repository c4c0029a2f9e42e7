"""The variants of a recipe as written: names, parents and their own changes, before anything is resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod

from ablate.recipe.changes import Own, read_own
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.replay import SECTIONS
from ablate.recipe.shape import Shape, composed, did_you_mean, name_rule, same_name, unknown_variant
from ablate.recipe.sources import read_joined

MOST_ROWS = 1000
"""Maximum number of variants of a study."""

WHOLE = re.compile(r"\$([A-Za-z_]\w*)")
IN_TEXT = re.compile(r"\{([A-Za-z_]\w*)\}")


def repeats(node: Node, path: str, problems: Problems) -> tuple[list[Node], bool]:
    """The entry's mapping once per combination of values, without ``for`` and ``zip``; unchanged if it has no ``for``.

    The second value is False if the names in ``for`` and those used elsewhere do not match.
    """
    if node.mapping is None or not {"for", "zip"} & node.mapping.keys():
        return [node], True
    shape = Shape(node, path, "a variant", problems)
    together = shape.flag("zip")
    bare = node.without("for", "zip")
    if shape.get("for") is None:
        problems.add(node.key_position("zip"), f"{path}.zip requires 'for'.")
        return [bare], True
    lists: dict[str, tuple[Node, ...]] = {}
    for name, values, place in shape.pairs("for", "{p: [0.1, 0.2]}"):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            rule = "must be an identifier, because it is used as $name and {name}."
            problems.add(place, f"{path}.for.{show(name)} {rule}")
        elif not values.items:
            problems.wrong(values, f"{path}.for.{name}", "must be a list of values, such as [0.1, 0.2].")
        else:
            lists[name] = values.items
    if not lists:
        return [], True
    known = _check_names(bare, path, lists, problems)
    lengths = [len(values) for values in lists.values()]
    if together and len(set(lengths)) > 1:
        text = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
        problems.add(node.key_position("zip"), f"{path}.zip requires lists of equal length, but {text}.")
        return [], True
    count = lengths[0] if together else prod(lengths)
    if count > MOST_ROWS:
        text = f"{path}.for (={count} variants) must generate at most {MOST_ROWS} variants."
        problems.add(node.key_position("for"), text)
        return [], True
    rows = zip(*lists.values(), strict=True) if together else product(*lists.values())
    return [_fill(bare, dict(zip(lists, row, strict=True)), in_text=True) for row in rows], known


def _check_names(node: Node, path: str, lists: Mapping[str, object], problems: Problems) -> bool:
    """Whether every ``$name``, and every ``{name}`` in a name or parent, is a key of ``for``, and every key is used.

    A key that is only used in names and descriptions counts as unused.
    """
    used: set[str] = set()
    mentioned: set[str] = set()
    wrong: dict[str, tuple[Node, str]] = {}

    def look(below: Node, key: str) -> None:
        if below.text is not None:
            whole = WHOLE.fullmatch(below.text)
            inside = IN_TEXT.findall(below.text) if key in ("name", "from", "description") else []
            words = [whole[1]] if whole else inside
            (mentioned if key in ("name", "description", "published") else used).update(words)
            for word in words:
                if word not in lists and key != "description":
                    wrong.setdefault(word, (below, key))
        for item in below.items or ():
            look(item, key)
        for item in (below.mapping or {}).values():
            look(item, key)

    for key, below in (node.mapping or {}).items():
        look(below, key)
    for word, (below, key) in wrong.items():
        hint = did_you_mean(word, list(lists))
        problems.add(below.position, f"{path}.{key} (={show(below)}): '{word}' is not a key of 'for'.{hint}")
    if wrong:  # a key that seems unused is probably the misspelled one
        return False
    unused = [word for word in lists if word not in used]
    for word in unused:
        where = "only used in names and descriptions" if word in mentioned else "not used"
        problems.add(node.position, f"{path}.for.{word} is {where}. Use ${word} in 'set', 'add' or 'remove'.")
    return not unused


def _fill(node: Node, values: Mapping[str, Node], *, in_text: bool) -> Node:
    """Replace ``$p`` by the value, and ``{p}`` by its text in the variant's name, parent and description."""
    if node.text is not None:
        whole = WHOLE.fullmatch(node.text)
        if whole and whole[1] in values:
            return values[whole[1]]
        if in_text:
            return Node(
                IN_TEXT.sub(lambda m: _text(values[m[1]]) if m[1] in values else m[0], node.text), node.position
            )
    if node.items is not None:
        return Node(tuple(_fill(item, values, in_text=False) for item in node.items), node.position)
    if node.mapping is not None:
        filled = {
            key: _fill(below, values, in_text=in_text and key in ("name", "from", "description"))
            for key, below in node.mapping.items()
        }
        return Node(filled, node.position, node.keys)
    return node


def _text(node: Node) -> str:
    return node.text if node.text is not None else show(node)


KEYS = ("name", "from", "description", "add", "remove", "set", "joined", "published", "tune", "for", "zip")


@dataclass(frozen=True)
class Row:
    """One variant as written."""

    name: str
    where: str
    """Its path in the recipe."""
    position: Position
    parent: str | None
    description: str
    own: Own
    published: Node | None = None
    broken: bool = False
    """Not built: its parent or its values are unknown."""
    sound: bool = True
    """False if some of its keys are invalid and were left out."""
    stack: tuple[Own, ...] = ()
    """In a design: the changes to apply to the baseline, instead of ``own`` to the parent."""
    tricks: tuple[str, ...] = ()
    """In a design: all tricks of the variant."""
    of: tuple[str, ...] = ()
    """In the design pairs: the two variants that it combines."""
    rearranged: bool = False
    """In a design: the tricks are variants that were written for other parents."""
    joined: Mapping[str, Position] = field(default_factory=dict)
    """The variants whose predictions it combines, with the positions of their names."""
    tune: bool = True
    """False with ``tune: off``: its settings are not tuned."""


SEEDS, MOST_SEEDS = 3, 100
"""The default and the largest number of seeds on which a design selects tricks."""


@dataclass(frozen=True)
class Arrangement:
    """What a design combines: a variant with the changes of each trick, the template of a variant that has no trick of
    its own, and whether the tricks are the ``written`` variants of the recipe. ``seeds``: how many a design that
    selects tricks uses for it.
    """

    baseline: str
    rungs: tuple[Row, ...]
    full: Row
    written: bool = False
    seeds: int = SEEDS


class Rows:
    """Collects variants and checks their names."""

    def __init__(self, baseline: Row, problems: Problems) -> None:
        self.rows, self.problems = [baseline], problems
        self.arrangement: Arrangement | None = None
        """In a design: what it combines."""

    def check_names(self) -> None:
        """Names must be valid folder names, and not look like another one."""
        known: dict[str, Row] = {}
        for row in self.rows:
            rule = name_rule(row.name)
            other = known.setdefault(same_name(row.name), row)
            if rule is None and other is not row and other.where == row.where:
                if row.broken:  # the cause is an error in 'for', which has been reported
                    continue
                rule = "must differ between the values of 'for'. Use a key of 'for' in the name, as in net-{key}."
            elif rule is None and other is not row:
                alike = "case is ignored" if composed(other.name) != composed(row.name) else "other code points"
                case = "" if other.name == row.name else f" ({alike})"
                line = f" on line {other.position.line}" if other.position.line else ""
                rule = f"must be unique; {show(other.name)} is used{line}{case}."
            if rule is not None:
                self.problems.add(row.position, f"{row.where}.name (={show(row.name)}) {rule}")


def read_variants(rows: Rows, nodes: Sequence[Node]) -> None:
    """Append the variants under ``variants``, with ``for`` expanded."""
    problems = rows.problems
    groups: list[tuple[str, list[Shape], bool]] = []
    count = 0
    for i, node in enumerate(nodes):
        path = f"variants[{i}]"
        if node.mapping is None:
            problems.wrong(node, path, "must be a mapping with a name, such as {name: net2, add: [flip]}.")
            continue
        each, known = repeats(node, path, problems)
        count += len(each)
        if count > MOST_ROWS:
            text = f"A study must have at most {MOST_ROWS} variants, but with {path} it has {count}."
            problems.add(node.position, text)
            return
        groups.append((path, [Shape(one, path, "a variant", problems) for one in each], known))
    later = [shape.text("name") for _, shapes, _ in groups for shape in shapes]
    for path, shapes, known in groups:
        above = next(row.name for row in reversed(rows.rows) if not row.joined)
        for shape in shapes:
            row = _variant(shape, path, above, rows.rows, later, problems)
            rows.rows.append(row if known else replace(row, broken=True))


def _variant(shape: Shape, path: str, above: str, rows: Sequence[Row], names: list[str], problems: Problems) -> Row:
    count = len(problems)
    earlier = [row.name for row in rows]
    hints = {key: "is a setting. Write it under 'set'." for key in SECTIONS}
    shape.only(KEYS, hints | {"tricks": "is not a key of a variant. Add tricks with 'add'."})
    name, name_node = shape.text("name"), shape.get("name")
    if "name" not in shape.entries:
        problems.add(shape.node.position, f"{path}.name is required.")
    elif not name and (name_node is None or name_node.text is not None):
        problems.add(shape.node.key_position("name"), f"{path}.name must not be empty.")
    parent = shape.text("from", above)
    broken = parent not in earlier or any(row.joined for row in rows if row.name == parent)
    if broken:
        if parent == name:
            shape.wrong("from", "must not be the variant itself.")
        elif parent in earlier:
            shape.wrong("from", "must be a variant that is trained, but has 'joined'.")
        elif parent in names:
            shape.wrong("from", f"must be defined before this variant. Move {show(parent)} up.")
        else:
            shape.wrong("from", unknown_variant([row.name for row in rows if not row.joined]))
    own, joined = read_own(shape, problems), read_joined(shape, problems)
    if (tune := shape.get("tune")) is not None and tune.value not in ("off", False):
        shape.wrong("tune", "must be off. What is tuned is written once, at the top of the recipe.")
    return Row(
        name or path,
        path,
        (name_node or shape.node).position if name else shape.node.position,
        parent,
        shape.text("description"),
        own,
        shape.get("published"),
        broken,
        sound=len(problems) == count,
        joined=joined,
        tune=tune is None,
    )
