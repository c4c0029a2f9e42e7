"""A recipe as written: its text, its baseline, its rows and its bundles, before any settings are resolved."""

from __future__ import annotations

from pathlib import Path

from ablate.recipe.changes import read_bundles, read_own
from ablate.recipe.design_rows import read_design, rearrange
from ablate.recipe.names import study_rule
from ablate.recipe.node import Node, show
from ablate.recipe.problems import Position, Problem, Problems, RecipeError
from ablate.recipe.replay import SECTIONS, Tree, section
from ablate.recipe.rows import Row, Rows, read_variants
from ablate.recipe.shape import Shape
from ablate.recipe.variants import Written
from ablate.recipe.yaml_text import decode
from ablate.registry import suggestion

LARGEST = 2**20
"""Bytes of a recipe: enough for any that a person writes, too few to read a data file by mistake."""

SHARED = ("data", "metrics", "watch")
"""Settings that may stand at the top of a recipe, as all rows usually share them."""


def read_text(path: Path) -> str:
    """The text of a recipe's file. Raises `RecipeError` where it cannot be read."""

    def fail(rule: str) -> RecipeError:
        return RecipeError([Problem(Position(str(path)), rule)])

    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        beside = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        near = suggestion(path.name, beside)
        hint = f"Did you mean '{path.with_name(near)}'?" if near else "'ablate new NAME' writes a recipe to begin with."
        raise fail(f"does not exist. {hint}") from None
    except IsADirectoryError:
        raise fail("is a folder. Name the recipe's file in it.") from None
    except (OSError, ValueError) as error:
        raise fail(f"cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > LARGEST:
        raise fail(f"has more than {LARGEST >> 20} MiB, so it is no recipe.")
    return decode(data, str(path))


def read_written(top: Shape, path: Path, design: str | None, problems: Problems) -> Written:
    """Everything but the resolved settings."""
    study = top.text("study", path.stem)
    rule = study_rule(study)
    if rule is not None:
        node = top.get("study")
        problems.add(node.position if node else Position(str(path)), f"study (={show(study)}) {rule}")
    bundles = read_bundles(top, problems)
    baseline, start = _read_baseline(top, problems)
    rows = Rows(baseline, problems)
    if top.get("design") is not None and "variants" in top.entries:
        problems.add(top.node.key_position("design"), "design stands beside 'variants'. Keep one of them.")
    known = design if design is not None and not _unknown(design) else None
    followed = read_design(rows, top, bundles, known)
    if top.get("design") is None:
        read_variants(rows, top.items("variants", "[{name: net2, add: [flip]}]"))
        if known is not None:
            rows.check_names()  # as they are written; after that, as the design calls them
            rearrange(rows, known)
            followed = known
    rows.check_names()
    return Written(study, start, tuple(rows.rows), bundles, followed)


def _unknown(design: str) -> bool:
    from ablate.recipe.designs import design_rule

    return design_rule(design) is not None


def _read_baseline(top: Shape, problems: Problems) -> tuple[Row, Tree]:
    """The first row, and the settings that all others start from."""
    node = top.get("baseline")
    if node is None:
        place = top.node.key_position("baseline")
        problems.add(
            place,
            "baseline is missing. It holds the settings that the other rows change, such as model, loss and epochs.",
        )
        return Row(
            "baseline",
            "baseline",
            place,
            None,
            "",
            read_own(Shape(Node({}, place), "", "", problems), problems),
            broken=True,
        ), Tree()
    shape = Shape(node, "baseline", "the baseline", problems)
    own_keys = ("name", "description", "published", "add")
    shape.only(
        (*own_keys, *SECTIONS),
        {
            "set": "is not needed: a baseline's settings stand directly under 'baseline'.",
            "remove": "has nothing to remove: a baseline has no parent.",
            "from": "is not a key of the baseline: it has no parent.",
            "for": "is not a key of the baseline: repeat variants instead.",
            "tricks": "is not a setting: switch tricks on with 'add'.",
        },
    )
    sections: dict[str, Node] = {}
    for key in SHARED:
        if (shared := top.get(key)) is not None:
            sections[key] = section(key, shared)
    for key in SECTIONS:
        if (below := shape.get(key)) is None:
            continue
        if key in sections:
            line = sections[key].position.line
            problems.add(
                node.key_position(key), f"baseline.{key} is written at the top too, in line {line}. Keep one of them."
            )
        sections[key] = section(key, below)
    if "init" not in sections:
        sections["init"] = section("init", Node("default", node.position))
    bare = Shape(Node({"add": below} if (below := shape.get("add")) else {}, node.position), "baseline", "", problems)
    name = shape.text("name", "baseline")
    place = below.position if (below := shape.get("name")) else node.position
    row = Row(
        name, "baseline", place, None, shape.text("description"), read_own(bare, problems), shape.get("published")
    )
    return row, Tree(sections)
