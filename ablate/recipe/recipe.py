"""Loads a recipe: read, resolve the variants, check, select. All errors are reported together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.recipe.checks import CheckBuilder
from ablate.recipe.folds import Folds, read_folds
from ablate.recipe.greedy import GREEDY, Greedy, read_greedy
from ablate.recipe.looks import Looks
from ablate.recipe.measured import Reach, read_compare, read_reach
from ablate.recipe.node import Problems, show
from ablate.recipe.problems import Position, Problem, RecipeError
from ablate.recipe.reading import read_text, read_written
from ablate.recipe.redundant import check_equal_rows, check_repeated_tricks, check_unused_bundles
from ablate.recipe.replay import SECTIONS
from ablate.recipe.selection import declared_seeds, read_selection
from ablate.recipe.settings import Choice, differences
from ablate.recipe.shape import Shape
from ablate.recipe.sources import needed_rows
from ablate.recipe.tuning import Tuning, read_tuning
from ablate.recipe.variant import Compare, Variant
from ablate.recipe.variants import build_variants
from ablate.recipe.yaml_text import read_yaml
from ablate.registry.fields import Epochs
from ablate.schedules.schedule import advice_on

KEYS = (
    "study", "description", "trainer", "data", "metrics", "watch", "seeds", "folds", "compare", "reach", "tune",
    "checks", "baseline", "tricks", "variants", "design",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A study's recipe."""

    study: str
    description: str
    variants: tuple[Variant, ...]
    """The selected variants; ``--only`` can leave out a variant's parent."""
    seeds: tuple[int, ...]
    compare: Compare
    path: Path | None
    folder: Path
    """The folder in which the user's modules are searched."""
    text: str
    """The recipe's YAML text."""
    selection: tuple[str, ...] = ()
    """The selecting flags as command-line arguments, such as ``("--seeds", "3", "--set", "epochs=50")``."""
    design: str | None = None
    """The design that generated the variants, if any."""
    notes: tuple[str, ...] = ()
    """Messages for the user."""
    folds: Folds | None = None
    reach: tuple[Reach, ...] = ()
    family: tuple[Variant, ...] = ()
    """All variants of the recipe, selected or not: verdicts are corrected over their comparisons."""
    needed: tuple[Variant, ...] = ()
    """Variants left out by ``--only`` that the selected ones require: trained if missing, but not shown."""
    looks: Looks | None = None
    """The numbers of seeds at which verdicts are computed, the last of which are ``seeds``; None: at all seeds."""
    tuning: Tuning | None = None
    """What is tuned before seeds are judged; the variants' settings are those of the recipe as written until then."""
    gone: tuple[Path, ...] = ()
    """Files in the settings that do not exist; empty unless loaded with ``need_files=False``."""
    tricks: tuple[str, ...] = ()
    """The tricks of the design, in order."""
    greedy: Greedy | None = None
    """What the design greedy selects from; the variants are the first candidates until a path is chosen."""
    checks: tuple[Choice, ...] = ()
    """Checks before training with other settings, and the user's own."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        seeds: int | str | Sequence[int] | None = None,
        until: str | None = None,
        only: str | Sequence[str] | None = None,
        design: str | None = None,
        sets: Sequence[str] = (),
        scale: float = 1.0,
        need_files: bool = True,
    ) -> Recipe:
        """Read a recipe's file; the arguments are the selecting flags of the command line. Raises `RecipeError`.

        Args:
            seeds: a number of seeds, a list of seeds, or a string such as ``"3"`` or ``"0,3,7"``.
            until: with ``"decided"``, verdicts are computed after that number of seeds and then at larger numbers, and
                variants that are decided are not trained further.
            only: the variants to keep.
            design: the design that generates the variants from the tricks.
            sets: settings to override, such as ``"epochs=50"`` (all variants) or ``"net3.epochs=50"`` (one).
            scale: a factor for all epoch counts.
            need_files: with False, data files may be missing; enough for reading results, but not for training.
        """
        path = Path(path)
        text = read_text(path)
        problems = Problems()
        document = read_yaml(text, str(path))
        if document is None:
            text = f"recipe (={path}) is empty. Run 'ablate new NAME' to create a recipe."
            raise RecipeError([Problem(Position(""), text)])
        if document.mapping is None:
            rule = "must be a mapping with the key 'baseline'. Run 'ablate new NAME' to create a recipe."
            raise RecipeError([Problem(document.position, f"recipe (={show(document)}) {rule}")])
        top = Shape(document, "", "a recipe", problems)
        top.only(KEYS, {key: "is a setting. Write it under 'baseline'." for key in SECTIONS if key not in KEYS})
        written = read_written(top, path, design, problems)
        selection = read_selection(
            [row.name for row in written.rows],
            problems,
            seeds=seeds,
            until=until,
            only=only,
            design=design,
            sets=sets,
            scale=scale,
        )
        folder = path.absolute().parent
        own = (bundle.own for bundle in written.bundles.values())
        check_repeated_tricks((*own, *(row.own for row in written.rows if not row.stack and not row.tricks)), problems)
        check_unused_bundles(written.bundles, (one for row in written.rows for one in (row.own, *row.stack)), problems)
        gone: dict[Path, str] = {}
        variants, notes = build_variants(written, selection, folder, problems, None if need_files else gone)
        if written.design is None and not selection.changes_settings:
            check_equal_rows(variants, problems)
        compare = read_compare(top, variants, problems, selection.compare)
        numbers, looks = declared_seeds(top.get("seeds"), selection, problems)
        contrasts = written.crossed and written.design != GREEDY
        if looks is not None and contrasts:
            rule = "requires a fixed number of seeds: its effects need all variants with the same seeds."
            problems.add(Position(""), f"design (={written.design}) {rule}")
        if compare.log and contrasts:
            problems.add(Position(""), f"design (={written.design}) cannot be combined with compare.scale (=log).")
        folds, reach = read_folds(top, problems), read_reach(top, variants, compare, problems)
        checks = CheckBuilder(folder, 1.0, Path.cwd(), problems).checks(top.get("checks"))
        judging_by = read_compare(top, variants, Problems())
        read = read_tuning if written.design != GREEDY else read_greedy
        chosen = read(top, written, variants, selection, folder, judging_by, numbers, problems, need_files=need_files)
        problems.check()
        if isinstance(chosen, Greedy):
            variants = [variant for variant in variants if len(variant.tricks) <= 1]
        kept = [variant for variant in variants if selection.only is None or variant.name in selection.only]
        return cls(
            study=written.study,
            description=top.text("description"),
            variants=tuple(kept),
            seeds=numbers,
            compare=compare,
            path=path,
            folder=folder,
            text=text,
            selection=selection.arguments,
            design=written.design,
            notes=(*notes, *gone.values()),
            folds=folds,
            reach=reach,
            family=tuple(variants),
            needed=needed_rows(variants, kept),
            looks=looks,
            tuning=chosen if isinstance(chosen, Tuning) else None,
            greedy=chosen if isinstance(chosen, Greedy) else None,
            gone=tuple(gone),
            tricks=written.tricks,
            checks=checks,
        )

    def variant(self, name: str) -> Variant:
        """The variant with this name. Raises KeyError."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)


def advice_of(recipe: Recipe) -> list[str]:
    """One line per likely mistake in the settings, with the names of the variants that have it."""
    found: dict[str, list[str]] = {}
    known = {variant.name: variant.settings for variant in (*recipe.variants, *recipe.needed)}
    for variant in recipe.variants:
        settings, parent = variant.settings, known.get(variant.parent or "") if recipe.selection else None
        places = {"optimizer": settings.optimizer.options}
        places |= {f"tricks.{choice.label}": choice.options for choice in settings.tricks}
        sentences = [f"{path} {text}" for place, options in places.items() for path, text in advice_on(options, place)]
        sentences += [
            f"{place}.patience (={patience.dump()}) never runs out in {settings.epochs} epochs. Use a smaller value."
            for place, options in places.items()
            if settings.epochs
            and isinstance(patience := getattr(options, "patience", None), Epochs)
            and patience.of(settings.epochs) >= settings.epochs
        ]
        # without flags, this is an error
        if parent is not None and all(
            p.partition(".")[0] in settings.INCIDENTAL for p, *_ in differences(parent, settings)
        ):
            sentences.append(f"the settings equal those of the parent {show(variant.parent)}.")
        for sentence in sentences:
            found.setdefault(sentence, []).append(variant.name)
    return [f"{', '.join(names)}: {sentence}" for sentence, names in found.items()]
