"""A recipe: read, inherit, replay, check, select. Everything that is wrong is reported together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.recipe.equal_rows import check_equal_rows, check_repeated_tricks
from ablate.recipe.folds import Folds, read_folds
from ablate.recipe.measured import read_compare
from ablate.recipe.node import show
from ablate.recipe.problems import Position, Problem, Problems, RecipeError
from ablate.recipe.reach import Reach, read_reach
from ablate.recipe.reading import read_text, read_written
from ablate.recipe.replay import SECTIONS
from ablate.recipe.selection import read_seeds, read_selection
from ablate.recipe.shape import Shape
from ablate.recipe.sources import needed_rows
from ablate.recipe.unused_bundles import check_unused_bundles
from ablate.recipe.variant import Compare, Variant
from ablate.recipe.variants import build_variants
from ablate.recipe.yaml_text import read_yaml

KEYS = (
    "study", "description", "data", "metrics", "watch", "seeds", "folds", "compare", "reach", "baseline", "tricks", "variants", "design",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A study's recipe. ``folder`` is where the user's own modules are looked for; ``text`` what was read, for the record.

    ``selection`` holds the flags that chose this part or change of it, as command-line arguments: ``("--seeds", "3", "--set", "epochs=50")``.
    A variant's parent need not be among ``variants`` where ``--only`` left it out. ``design`` is the one that made the rows, None where they are as
    written; ``notes`` are sentences for whoever reads them. With ``folds`` every seed trains once a fold; ``reach`` holds the marks that rows are timed to.
    ``needed`` are rows that ``--only`` left out and that others are built upon: they are trained where they are missing, and not shown.
    ``gone`` are files that its settings name and that are not there: none, unless it was read for a look at what is trained.
    """

    study: str
    description: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    compare: Compare
    path: Path | None
    folder: Path
    text: str
    selection: tuple[str, ...] = ()
    design: str | None = None
    notes: tuple[str, ...] = ()
    folds: Folds | None = None
    reach: tuple[Reach, ...] = ()
    needed: tuple[Variant, ...] = ()
    gone: tuple[Path, ...] = ()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        seeds: int | str | Sequence[int] | None = None,
        only: str | Sequence[str] | None = None,
        design: str | None = None,
        sets: Sequence[str] = (),
        scale: float = 1.0,
        need_files: bool = True,
    ) -> Recipe:
        """Read a recipe's file; the arguments are the selecting flags of the command line. Raises `RecipeError` with all that is wrong.

        ``seeds``: a count, a list, or text such as ``"3"`` or ``"0,3,7"``. ``only``: the rows to keep. ``sets``: texts such as ``"epochs=50"`` (all
        rows) and ``"net3.epochs=50"`` (one). ``scale`` multiplies every number of epochs. ``need_files=False`` is for a look at what is trained, for which
        the files of its data need not be there any more.
        """
        return load_recipe(
            Path(path), seeds=seeds, only=only, design=design, sets=sets, scale=scale, need_files=need_files
        )

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises KeyError."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)


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
