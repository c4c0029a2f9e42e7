"""From a recipe's file to `Recipe`: read, inherit, replay, check, select. Everything that is wrong is reported together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ablate.recipe.arranged import read_design, rearrange
from ablate.recipe.changes import read_bundles, read_own
from ablate.recipe.equal_rows import check_equal_rows, check_repeated_tricks
from ablate.recipe.folds import read_folds
from ablate.recipe.measured import read_compare
from ablate.recipe.names import study_rule
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.reach import read_reach
from ablate.recipe.recipe import Position, Problem, Recipe, RecipeError
from ablate.recipe.replay import SECTIONS, Tree, section
from ablate.recipe.rows import Row, Rows, read_variants
from ablate.recipe.selection import read_seeds, read_selection
from ablate.recipe.shape import Shape
from ablate.recipe.sources import needed_rows
from ablate.recipe.unused_bundles import check_unused_bundles
from ablate.recipe.variants import Written, build_variants
from ablate.recipe.yaml_text import decode, read_yaml
from ablate.registry import suggestion

LARGEST = 2**20
"""Bytes of a recipe: enough for any that a person writes, too few to read a data file by mistake."""

KEYS = (
    "study", "description", "data", "metrics", "watch", "seeds", "folds", "compare", "reach", "baseline", "tricks", "variants", "design",
)  # fmt: skip
SHARED = ("data", "metrics", "watch")
"""Settings that may stand at the top of a recipe, as all rows usually share them."""


def load_recipe(
    path: Path,
    *,
    seeds: int | str | Sequence[int] | None = None,
    only: str | Sequence[str] | None = None,
    design: str | None = None,
    sets: Sequence[str] = (),
    scale: float = 1.0,
    need_files: bool = True,
) -> Recipe:
    """See `Recipe.load`."""
    text = read_text(path)
    problems = Problems()
    document = read_yaml(text, str(path))
    if document is None:
        raise RecipeError([Problem(Position(str(path)), "is empty. 'ablate new NAME' writes a recipe to begin with.")])
    if document.mapping is None:
        what = "a list" if document.items is not None else f"one value (={show(document)})"
        text_ = f"holds {what}. A recipe is a mapping with a 'baseline'; 'ablate new NAME' writes one to begin with."
        raise RecipeError([Problem(document.position, text_)])
    top = Shape(document, "", "a recipe", problems)
    top.only(KEYS, {key: "is a setting: write it under 'baseline'." for key in SECTIONS if key not in KEYS})
    written = read_written(top, path, design, problems)
    selection = read_selection(
        [row.name for row in written.rows], problems, seeds=seeds, only=only, design=design, sets=sets, scale=scale
    )
    folder = path.absolute().parent
    own = (bundle.own for bundle in written.bundles.values())
    check_repeated_tricks((*own, *(row.own for row in written.rows if not row.stack and not row.tricks)), problems)
    check_unused_bundles(written.bundles, (one for row in written.rows for one in (row.own, *row.stack)), problems)
    gone: dict[Path, str] = {}
    variants, notes = build_variants(written, selection, folder, problems, None if need_files else gone)
    if written.design is None and not selection.changes_settings:
        check_equal_rows(variants, problems)
    compare = read_compare(top, variants, problems)
    numbers = read_seeds(node, "seeds", problems) if (node := top.get("seeds")) is not None else (0,)
    folds, reach = read_folds(top, problems), read_reach(top, variants, compare, problems)
    problems.check()
    kept = [variant for variant in variants if selection.only is None or variant.name in selection.only]
    return Recipe(
        study=written.study,
        description=top.text("description"),
        variants=tuple(kept),
        seeds=selection.seeds or numbers or (0,),
        compare=compare,
        path=path,
        folder=folder,
        text=text,
        selection=selection.arguments,
        design=written.design,
        notes=(*notes, *gone.values()),
        folds=folds,
        reach=reach,
        needed=needed_rows(variants, kept),
        gone=tuple(gone),
    )


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
