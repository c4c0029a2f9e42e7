"""From a recipe's file to `Recipe`: read, inherit, replay, check, select. Everything that is wrong is reported together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.recipe.changes import Bundle, Step, extend, read_bundles, read_own
from ablate.recipe.diff import differences
from ablate.recipe.measured import read_compare, read_published
from ablate.recipe.names import study_rule
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.recipe import Position, Problem, Recipe, RecipeError, Variant
from ablate.recipe.replay import SECTIONS, Tree, assign, replay, section, trick_of_path
from ablate.recipe.rows import Row, Rows, read_design, read_variants, redesign
from ablate.recipe.selection import Selection, read_seeds, read_selection
from ablate.recipe.settings import Settings
from ablate.recipe.settings_builder import Builder
from ablate.recipe.shape import Shape
from ablate.recipe.yaml_text import decode, read_yaml
from ablate.registry import suggestion

LARGEST = 2**20
"""Bytes of a recipe: enough for any that a person writes, too few to read a data file by mistake."""

KEYS = ("study", "description", "data", "metrics", "seeds", "compare", "baseline", "tricks", "variants", "design")
SHARED = ("data", "metrics")
"""Settings that may stand at the top of a recipe, as all rows usually share them."""


def load_recipe(
    path: Path,
    *,
    seeds: int | str | Sequence[int] | None = None,
    only: str | Sequence[str] | None = None,
    design: str | None = None,
    sets: Sequence[str] = (),
    scale: float = 1.0,
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
    variants = list(build_variants(written, selection, folder, problems))
    compare = read_compare(top, variants, problems)
    numbers = read_seeds(node, "seeds", problems) if (node := top.get("seeds")) is not None else (0,)
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


@dataclass(frozen=True)
class Written:
    """A recipe's text, taken apart: the baseline's settings, the rows (the baseline first) and the bundles."""

    study: str
    start: Tree
    rows: tuple[Row, ...]
    bundles: Mapping[str, Bundle]


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
    read_design(rows, top, bundles, known)
    if top.get("design") is None:
        read_variants(rows, top.items("variants", "[{name: net2, add: [flip]}]"))
        if known is not None:
            redesign(rows, known)
    rows.check_names()
    return Written(study, start, tuple(rows.rows), bundles)


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


def build_variants(written: Written, selection: Selection, folder: Path, problems: Problems) -> Iterator[Variant]:
    """The rows with their settings, without those that are wrong."""
    builder = Builder(folder, selection.scale, Path.cwd(), problems)
    as_written = replace(builder, scale=1.0, problems=Problems())
    steps: dict[str, tuple[Step, ...]] = {}
    trees: dict[str, Tree] = {}
    before: dict[str, Settings | None] = {}
    used: set[Position] = set()
    for row in written.rows:
        if row.broken or (row.parent is not None and row.parent not in steps):
            continue
        count = len(problems)
        parent = before[row.parent] if row.parent is not None else None
        inherited = steps[row.parent] if row.parent is not None else ()
        steps[row.name] = extend(inherited, row.own, written.bundles, row.parent, problems)
        # without a removal the parent's tree is where its list of changes leads; with one, all is replayed
        start = written.start if row.own.remove or row.parent is None else trees[row.parent]
        fresh = steps[row.name] if start is written.start else steps[row.name][len(inherited) :]
        tree = trees[row.name] = replay(start, fresh, problems)
        sound = row.sound and len(problems) == count
        changed = _with_flags(tree, row, selection, used, problems)
        settings = builder.build(changed, row.position, row.where)
        before[row.name] = as_written.build(tree, row.position, row.where) if selection.changes_settings else settings
        if sound:
            _check_change(row, before[row.name], parent, problems)
        published = read_published(row, settings, problems)
        if settings is not None:
            yield Variant(
                row.name, row.parent, row.description, row.own.changes(row.name), settings, published, row.position
            )
    for _, line in selection.sets:
        if line.path.startswith("tricks.") and line.position not in used:
            problems.add(line.position, f"{show(line.path)}: no row that this is for has that trick.")


def _with_flags(tree: Tree, row: Row, selection: Selection, used: set[Position], problems: Problems) -> Tree:
    """The tree after ``--set``; a setting of a trick is for the rows that have it."""
    for name, line in selection.sets:
        if name not in (None, row.name):
            continue
        if line.path.startswith("tricks."):
            if trick_of_path(line.path, tree.tricks) is None:
                continue
            used.add(line.position)
        tree = assign(tree, line, problems)
    return tree


def _check_change(row: Row, settings: Settings | None, parent: Settings | None, problems: Problems) -> None:
    """A row that equals its parent would silently show the parent's numbers."""
    if row.parent is None:
        return
    nothing = f"{row.where} (={show(row.name)}) changes nothing:"
    if not (row.own.remove or row.own.add or row.own.set):
        problems.add(row.position, f"{nothing} it has no 'add', 'remove' or 'set'. Give it one, or remove the row.")
    elif settings is not None and parent is not None:
        changed = {path.partition(".")[0] for path, _, _ in differences(parent, settings)}
        if not changed:
            text = f"{nothing} its settings are those of {show(row.parent)}. Change something, or remove the row."
            problems.add(row.position, text)
        elif changed <= Settings.INCIDENTAL:
            what = " and ".join(sorted(changed))
            text = f"{nothing} {what} changes how fast a row is computed, not what it is. Set it in the baseline, or with --set."
            problems.add(row.position, text)
