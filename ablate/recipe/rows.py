"""The variants of a recipe as written: names, parents and their own changes, before anything is resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.recipe.changes import Own, read_own
from ablate.recipe.for_each import MOST_ROWS, repeats
from ablate.recipe.node import Node, show
from ablate.recipe.problems import Position, Problems
from ablate.recipe.replay import SECTIONS
from ablate.recipe.shape import Shape, name_rule, unknown_variant
from ablate.recipe.sources import read_joined

KEYS = ("name", "from", "description", "add", "remove", "set", "joined", "published", "for", "zip")


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


class Rows:
    """Collects variants and checks their names."""

    def __init__(self, baseline: Row, problems: Problems) -> None:
        self.rows, self.problems = [baseline], problems

    def check_names(self) -> None:
        """Names must be valid folder names and unique, ignoring case as some file systems do."""
        known: dict[str, Row] = {}
        for row in self.rows:
            rule = name_rule(row.name)
            other = known.setdefault(row.name.casefold(), row)
            if rule is None and other is not row and other.where == row.where:
                if row.broken:  # the cause is an error in 'for', which has been reported
                    continue
                rule = "must differ between the values of 'for'. Use a key of 'for' in the name, as in net-{key}."
            elif rule is None and other is not row:
                case = "" if other.name == row.name else " (case is ignored)"
                line = f" in line {other.position.line}" if other.position.line else ""
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
            problems.add(
                node.position,
                f"{path} (={show(node)}) must be a mapping with a name, such as {{name: net2, add: [flip]}}.",
            )
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
            shape.wrong("from", unknown_variant(parent, [*earlier, *(one for one in names if one not in ("", name))]))
    own, joined = read_own(shape, problems), read_joined(shape, problems)
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
    )
