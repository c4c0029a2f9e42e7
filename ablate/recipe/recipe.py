"""A recipe after reading: its variants with their resolved settings, and what verdicts are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ablate.recipe.settings import Settings

if TYPE_CHECKING:
    from ablate.recipe.folds import Folds
    from ablate.recipe.reach import Reach


@dataclass(frozen=True)
class Position:
    """A place in a recipe: file (or flag), line and column, both from 1; line 0 where there is none."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe, in one line: where, and what is wrong with the way out."""

    position: Position
    text: str

    def __str__(self) -> str:
        return f"{self.position}: {self.text}"


class RecipeError(ValueError):
    """All that is wrong with a recipe, reported together; ``str()`` gives a line each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Change:
    """One entry of a variant's ordered list of changes.

    ``row`` is the variant that made it; ``subject`` the trick's name or the dotted path; ``value`` what a recipe says about it.
    """

    row: str
    kind: Literal["add", "remove", "set"]
    subject: str
    value: Any = None

    def __str__(self) -> str:
        from ablate.recipe.node import show  # which needs the positions of this file

        if self.kind == "set":
            return f"{self.subject} = {show(self.value, limit=200)}"
        if self.kind == "add":
            return f"+ {self.subject}" + ("" if self.value is None else f" {show(self.value, limit=200)}")
        return f"− {self.subject}"


@dataclass(frozen=True)
class Compare:
    """What verdicts are about. ``at``: the epoch that each row reports (its ``select``), or the last or best one for all rows.

    ``smallest_effect``, in the metric's unit and above zero: differences that are surely smaller than that are called ``no difference``.
    """

    metric: str = "valid_loss"
    better: Literal["lower", "higher"] = "lower"
    at: Literal["selected", "last", "best"] = "selected"
    smallest_effect: float | None = None


@dataclass(frozen=True)
class Variant:
    """One row: a name, a parent, its own changes, and the settings that result.

    ``of`` names the two rows whose effects a row of the design ``pairs`` puts together; the first of them is its parent.
    """

    name: str
    parent: str | None
    description: str
    changes: tuple[Change, ...]
    settings: Settings
    published: Mapping[str, float] = field(default_factory=dict)
    position: Position = field(default=Position(""), compare=False)
    of: tuple[str, ...] = ()


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
        from ablate.recipe.reading import load_recipe

        return load_recipe(
            Path(path), seeds=seeds, only=only, design=design, sets=sets, scale=scale, need_files=need_files
        )

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises KeyError."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)
