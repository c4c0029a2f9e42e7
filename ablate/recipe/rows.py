"""The rows of a recipe as written: names, parents and each one's own changes; nothing is resolved yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.recipe.changes import Bundle, Own, read_own
from ablate.recipe.designs import DESIGNS, design_rule
from ablate.recipe.entries import read_item
from ablate.recipe.for_each import MOST_ROWS, repeats
from ablate.recipe.names import name_rule
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.recipe import Position
from ablate.recipe.replay import SECTIONS
from ablate.recipe.shape import Shape, did_you_mean

KEYS = ("name", "from", "description", "add", "remove", "set", "published", "for", "zip")


@dataclass(frozen=True)
class Row:
    """One row as written. ``where`` is its path in the recipe.

    A broken one has no known parent and is not built; one that is not sound lacks some of what it says, because that could not be read.
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
    groups: list[tuple[str, list[Shape]]] = []
    count = 0
    for i, node in enumerate(nodes):
        path = f"variants[{i}]"
        if node.mapping is None:
            problems.add(
                node.position,
                f"{path} (={show(node)}) must be a mapping with a name, such as {{name: net2, add: [flip]}}.",
            )
            continue
        each = repeats(node, path, problems)
        count += len(each)
        if count > MOST_ROWS:
            problems.add(node.position, f"{path} brings the study to {count} rows; it has at most {MOST_ROWS}.")
            return
        groups.append((path, [Shape(one, path, "a variant", problems) for one in each]))
    later = [shape.text("name") for _, shapes in groups for shape in shapes]
    for path, shapes in groups:
        above = rows.rows[-1].name
        for shape in shapes:
            rows.rows.append(_variant(shape, path, above, [row.name for row in rows.rows], later, problems))


def _variant(shape: Shape, path: str, above: str, earlier: list[str], names: list[str], problems: Problems) -> Row:
    count = len(problems)
    hints = {key: f"is a setting: write it under 'set' of {path}." for key in SECTIONS}
    shape.only(KEYS, hints | {"tricks": "is not a key of a variant: switch tricks on with 'add'."})
    name, name_node = shape.text("name"), shape.get("name")
    if "name" not in shape.entries:
        problems.add(shape.node.position, f"{path}.name is missing. Give the row a name.")
    elif not name and (name_node is None or name_node.text is not None):
        problems.add(shape.node.key_position("name"), f"{path}.name must not be empty.")
    parent = shape.text("from", above)
    broken = parent not in earlier
    if broken:
        if parent == name:
            shape.wrong("from", "is the row itself. A row stands on one above it.")
        elif parent in names:
            shape.wrong("from", "comes later. Move that row above this one.")
        else:
            shape.wrong("from", f"is not a row of this recipe.{did_you_mean(parent, [*earlier, *names])}")
    own = read_own(shape, problems)
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
    )


def read_design(rows: Rows, shape: Shape, bundles: Mapping[str, Bundle], chosen: str | None) -> None:
    """Append the rows that ``design: {ladder: [a, b, c]}`` asks for; ``chosen`` is what ``--design`` says instead."""
    pairs = shape.pairs("design", "{ladder: [flip, dropout]}")
    problems = rows.problems
    if (node := shape.get("design")) is not None and node.mapping is not None and len(pairs) != 1:
        problems.add(
            node.position, f"design (={show(node)}) must name one design, such as {{ladder: [flip, dropout]}}."
        )
        return
    for name, listed, place in pairs:
        path = f"design.{show(name)}"
        rule = design_rule(name)
        if rule is not None:
            problems.add(place, f"design (={show(name)}) {rule}{did_you_mean(name, DESIGNS)}")
        if not listed.items:
            problems.add(
                listed.position, f"{path} (={show(listed)}) must be a list of tricks, such as [flip, dropout]."
            )
            continue
        if len(listed.items) > MOST_ROWS:
            problems.add(
                listed.position, f"{path} has {len(listed.items)} tricks; a study has at most {MOST_ROWS} rows."
            )
            continue
        rungs = []
        for i, one in enumerate(listed.items):
            item = read_item(one, f"{path}[{i}]", "trick", problems)
            if item is not None:
                bundle = bundles.get(item.name or "")
                own = Own(f"{path}[{i}]", add=(item,))
                rungs.append(Row(item.label, own.where, item.position, None, bundle.description if bundle else "", own))
        labels = [rung.name for rung in rungs]
        twice = [rung for i, rung in enumerate(rungs) if rung.name in labels[:i]]
        for rung in twice:
            problems.add(
                rung.position, f"{rung.where} (={show(rung.name)}) is listed twice. Rows are named after their tricks."
            )
        if rule is None and not twice:
            _apply(rows, rungs, chosen or name)


def redesign(rows: Rows, chosen: str) -> None:
    """Take each written row's changes as one trick named after the row, and arrange these by the chosen design."""
    baseline, *written = rows.rows
    rows.rows = [baseline]
    _apply(rows, written, chosen)


def _apply(rows: Rows, rungs: Sequence[Row], design: str) -> None:
    """Append the rows of a design. A row with several tricks has their changes in order, named as one."""
    known = {rung.name: rung for rung in rungs}
    for planned in DESIGNS[design]([rung.name for rung in rungs], rows.rows[0].name):
        parts = [known[name] for name in planned.add]
        first = parts[0] if parts else known[planned.remove[0]]
        own = Own(
            first.where,
            (
                *(line for part in parts for line in part.own.remove),
                *((item.key, item.position) for name in planned.remove for item in known[name].own.add),
            ),
            tuple(item for part in parts for item in part.own.add),
            tuple(line for part in parts for line in part.own.set),
        )
        row = replace(first, name=planned.name, parent=planned.parent, own=own)
        rows.rows.append(row if len(parts) == 1 else replace(row, description="", published=None))
