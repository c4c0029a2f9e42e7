"""The rows of a recipe as written: names, parents and each one's own changes; nothing is resolved yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.recipe.changes import Own, read_own
from ablate.recipe.for_each import MOST_ROWS, repeats
from ablate.recipe.names import name_rule
from ablate.recipe.node import Node, show
from ablate.recipe.problems import Position, Problems
from ablate.recipe.replay import SECTIONS
from ablate.recipe.shape import Shape, did_you_mean
from ablate.recipe.sources import read_joined

KEYS = ("name", "from", "description", "add", "remove", "set", "joined", "published", "for", "zip")


@dataclass(frozen=True)
class Row:
    """One row as written. ``where`` is its path in the recipe.

    A broken one has no known parent and is not built; one that is not sound lacks some of what it says, because that could not be read.

    Of a row that a design has made: ``tricks`` are all that are on in it; ``of`` are the two rows that it puts together; where there is a ``stack``, these
    changes are replayed on the baseline's, instead of ``own`` on the parent's. ``rearranged``: the tricks are rows that were written to stand elsewhere.
    ``joined`` are the rows whose predictions it puts together, with the places where they are named.
    """

    name: str
    where: str
    position: Position
    parent: str | None
    description: str
    own: Own
    published: Node | None = None
    broken: bool = False
    sound: bool = True
    stack: tuple[Own, ...] = ()
    tricks: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    rearranged: bool = False
    joined: Mapping[str, Position] = field(default_factory=dict)


class Rows:
    """Collects rows and sees to it that names are good and unique, and parents stand above."""

    def __init__(self, baseline: Row, problems: Problems) -> None:
        self.rows, self.problems = [baseline], problems

    def check_names(self) -> None:
        """Names must be fit for folders and differ, also where a file system takes upper and lower case for the same."""
        known: dict[str, Row] = {}
        for row in self.rows:
            rule = name_rule(row.name)
            other = known.setdefault(row.name.casefold(), row)
            if rule is not None:
                self.problems.add(row.position, f"{row.where}.name (={show(row.name)}) {rule}")
            elif other is not row and other.where == row.where:
                text = f"{row.where}.name (={show(row.name)}) is the same in all repeats. Put a key of 'for' into it, as {{key}}."
                self.problems.add(row.position, text)
            elif other is not row:
                same = "" if other.name == row.name else f" as '{show(other.name)}', but for upper and lower case"
                line = f" in line {other.position.line}" if other.position.line else ""
                text = f"{row.where}.name (={show(row.name)}) is taken{line}{same}. Names of rows must differ."
                self.problems.add(row.position, text)


def read_variants(rows: Rows, nodes: Sequence[Node]) -> None:
    """Append the rows under ``variants``, repeats written out."""
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
            problems.add(node.position, f"{path} brings the study to {count} rows; it has at most {MOST_ROWS}.")
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
    hints = {key: f"is a setting: write it under 'set' of {path}." for key in SECTIONS}
    shape.only(KEYS, hints | {"tricks": "is not a key of a variant: switch tricks on with 'add'."})
    name, name_node = shape.text("name"), shape.get("name")
    if "name" not in shape.entries:
        problems.add(shape.node.position, f"{path}.name is missing. Give the row a name.")
    elif not name and (name_node is None or name_node.text is not None):
        problems.add(shape.node.key_position("name"), f"{path}.name must not be empty.")
    parent = shape.text("from", above)
    broken = parent not in earlier or any(row.joined for row in rows if row.name == parent)
    if broken:
        if parent == name:
            shape.wrong("from", "is the row itself. A row stands on one above it.")
        elif parent in earlier:
            shape.wrong("from", "joins others and has no changes to stand on. Name a row that trains.")
        elif parent in names:
            shape.wrong("from", "comes later. Move that row above this one.")
        else:
            shape.wrong("from", f"is not a row of this recipe.{did_you_mean(parent, [*earlier, *names])}")
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
