"""A recipe as written: its text, baseline, variants and bundles, before any settings are resolved."""

from __future__ import annotations

from pathlib import Path

from ablate.recipe.changes import Own, read_bundles, read_own
from ablate.recipe.designs import DESIGNS, read_design, rearrange
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position, Problem, RecipeError
from ablate.recipe.replay import SECTIONS, Tree, section
from ablate.recipe.rows import Row, Rows, read_variants
from ablate.recipe.shape import Shape, study_rule
from ablate.recipe.variants import Written
from ablate.recipe.yaml_text import decode
from ablate.registry import suggestion

LARGEST = 2**20
"""Maximum size of a recipe in bytes, so that a data file is not read as a recipe by mistake."""

SHARED = ("trainer", "data", "metrics", "watch")
"""Settings allowed at the top level of a recipe, because variants usually share them."""


def read_text(path: Path) -> str:
    """The text of a recipe's file. Raises `RecipeError` if it cannot be read."""

    def fail(rule: str) -> RecipeError:
        return RecipeError([Problem(Position(""), f"recipe (={path}) {rule}")])

    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        beside = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        near = suggestion(path.stem, stems := {Path(name).stem: name for name in beside})
        hint = f"Did you mean '{path.with_name(stems[near])}'?" if near else "Run 'ablate new NAME' to create a recipe."
        raise fail(f"does not exist. {hint}") from None
    except IsADirectoryError:
        raise fail("is a folder. Give the path of the recipe's file.") from None
    except (OSError, ValueError) as error:
        raise fail(f"cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > LARGEST:
        raise fail(f"must be at most {LARGEST >> 20} MiB.")
    return decode(data, str(path))


def read_written(top: Shape, path: Path, design: str | None, problems: Problems) -> Written:
    """The recipe's parts, settings not resolved."""
    study = top.text("study", path.stem)
    rule = study_rule(study)
    if rule is not None:
        node = top.get("study")
        problems.add(node.position if node else Position(str(path)), f"study (={show(study)}) {rule}")
    bundles = read_bundles(top, problems)
    baseline, start = _read_baseline(top, problems)
    rows = Rows(baseline, problems)
    if top.get("design") is not None and "variants" in top.entries:
        problems.add(top.node.key_position("design"), "design cannot be combined with 'variants'. Remove one of them.")
    known = design if design in DESIGNS else None
    followed = read_design(rows, top, bundles, known)
    if top.get("design") is None:
        read_variants(rows, top.items("variants", "[{name: net2, add: [flip]}]"))
        if known is not None:
            rows.check_names()  # the written names; those of the design are checked below
            rearrange(rows, known)
            followed = known
    rows.check_names()
    return Written(study, start, tuple(rows.rows), bundles, followed, rows.arrangement)


def _read_baseline(top: Shape, problems: Problems) -> tuple[Row, Tree]:
    """The baseline, and its settings."""
    node = top.get("baseline")
    if node is None:
        place = top.node.key_position("baseline")
        what = "It defines the settings that variants change, such as model, loss and epochs."
        problems.add(place, f"baseline is required. {what}")
        return Row("baseline", "baseline", place, None, "", Own("baseline"), broken=True), Tree()
    shape = Shape(node, "baseline", "the baseline", problems)
    own_keys = ("name", "description", "published", "add")
    shape.only(
        (*own_keys, *SECTIONS),
        {
            "set": "is not allowed. Write settings directly under 'baseline'.",
            "remove": "is not allowed, because the baseline has no parent.",
            "from": "is not allowed, because the baseline has no parent.",
            "for": "is not allowed. Use 'for' in a variant.",
            "tricks": "is not a setting. Add tricks with 'add'.",
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
            text = f"baseline.{key} is also set at the top level (line {line}). Remove one of them."
            problems.add(node.key_position(key), text)
        sections[key] = section(key, below)
    if "init" not in sections and "trainer" not in sections:
        sections["init"] = section("init", Node("default", node.position))
    bare = Shape(Node({"add": below} if (below := shape.get("add")) else {}, node.position), "baseline", "", problems)
    name = shape.text("name", "baseline")
    place = below.position if (below := shape.get("name")) else node.position
    row = Row(
        name, "baseline", place, None, shape.text("description"), read_own(bare, problems), shape.get("published")
    )
    return row, Tree(sections)
