"""Options that commands share. A parameter whose type is one of the dataclasses stands for all of its options."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from ablate.addresses import safe_words
from ablate.cli.console import say
from ablate.report.formats import PRINTED

if TYPE_CHECKING:
    from ablate.planning.plan import Plan
    from ablate.recipe import Recipe
    from ablate.report.style import Style
    from ablate.store.store import Store


def option(metavar: str, help: str, *names: str, **more: Any) -> Any:
    """An option without a default to show."""
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, **more)


def argument(metavar: str, help: str, **more: Any) -> Any:
    """An argument without a default to show."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, **more)


RecipePath = Annotated[Path, argument("RECIPE", "Recipe file (YAML).")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Uri = Annotated[
    str | None,
    option("URI", "MLflow tracking URI. Defaults to $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.", "--tracking-uri"),
]
Format = Annotated[
    str,
    typer.Option(
        metavar="FORMAT",
        help=f"Output format: {', '.join(PRINTED[:-1])} or {PRINTED[-1]}.",
        autocompletion=lambda: PRINTED,
    ),
]

DEFAULT_RUNS = Path("runs")

STARTED_WITH: tuple[str, ...] | None = None
"""The module path of a process that is nothing but this command, without its script's folder: what any other process
starts with.
"""


def directory(text: str | Path) -> Path:
    """A directory by its name; an empty name, as of an unset variable in a script, would be the current one."""
    if not str(text).strip():
        raise typer.BadParameter("must not be empty")
    return Path(text)


def designs() -> list[str]:
    """The designs, for shell completion."""
    from ablate.recipe.designs import DESIGNS

    return list(DESIGNS)


@dataclass(frozen=True)
class Selection:
    """The options that select variants and seeds of a recipe, or override its settings for one command."""

    seeds: Annotated[
        str | None,
        option("SEEDS", "Number of seeds (5 means seeds 0 to 4) or a list of seeds (0,3,7). Overrides the recipe."),
    ] = None
    until: Annotated[
        str | None,
        option(
            "RULE",
            "With decided: --seeds is the number of seeds to start with. Variants without a verdict get more seeds, up "
            "to four times as many.",
        ),
    ] = None
    only: Annotated[str | None, option("VARIANTS", "Comma-separated variants to include, such as net1,net3.")] = None
    design: Annotated[
        str | None,
        option(
            "DESIGN",
            "Generate the variants from the tricks with a design: ladder, leave-one-out, one-at-a-time, pairs, "
            "both-ends, factorial, screen, screen-foldover or greedy.",
            autocompletion=designs,
        ),
    ] = None
    sets: Annotated[
        list[str] | None,
        option(
            "PATH=VALUE",
            "Override a setting in all variants (epochs=50), in one variant (net3.epochs=50) or in compare "
            "(compare.at=last). Can be repeated.",
            "--set",
        ),
    ] = None
    scale: Annotated[float, typer.Option(metavar="FACTOR", help="Multiply all epoch counts by this factor.")] = 1.0
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Directory in which runs are stored.", parser=directory)] = (
        DEFAULT_RUNS
    )

    @property
    def store(self) -> Store:
        from ablate.store.store import Store

        return Store(self.runs.absolute())

    def read(self, recipe: Path, *, metric: str | None = None, need_files: bool = True) -> Recipe:
        """Read a recipe with these options, comparing ``metric`` if given; prints the notes on its variants to stderr.
        Raises RecipeError.

        ``need_files=False``: for looking at results, which may outlive the files of the data.
        """
        from ablate.recipe import Recipe, targets
        from ablate.recipe.measured import comparing

        targets.know_path(STARTED_WITH)
        study = Recipe.load(
            recipe,
            seeds=self.seeds,
            until=self.until,
            only=self.only,
            design=self.design,
            sets=self.sets or (),
            scale=self.scale,
            need_files=need_files,
        )
        for note in study.notes:
            say(note)
        if metric is None:
            return study
        try:
            return replace(study, compare=comparing(study.variants, study.compare, metric))
        except ValueError as error:
            raise ValueError(f"--{error}") from None

    def plan(self, recipe: Path, *, metric: str | None = None, need_files: bool = True) -> Plan:
        """The runs of a recipe that is read with these options, up to the present look. Raises RecipeError."""
        from ablate.evidence.stages import planned_now
        from ablate.planning.plan import make_plan

        store = self.store
        return planned_now(make_plan(self.read(recipe, metric=metric, need_files=need_files), store), store)

    def mention_last(self, study: Recipe, command: str) -> None:
        """Print to stderr how to show the last run of this study, if it had other options."""

        last = self.store.study(study.study).get("selection")
        if last is not None and list(last) != list(study.selection):
            again = suggested(command, study.path, flags=[*last, *flag_of(self.store.root)])
            say(f"Note: The options differ from those of the last run. To use those, run: {again}")

    def mention_missing(self) -> None:
        """Print to stderr that there is no folder of runs: otherwise a wrong path looks like runs that wait."""

        if not self.runs.is_dir():
            say(f"--runs (={self.runs}) does not exist. Check the path, or train the study with 'ablate run'.")

    def given(self) -> dict[str, object]:
        """The options that differ from their defaults, except ``--runs``."""
        values = {"set" if field.name == "sets" else field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if name != "runs" and value not in (None, [], 1.0)}


@dataclass(frozen=True)
class Layout:
    """The options that say what a table shows."""

    metric: Annotated[str | None, option("METRIC", "Metric to compare. Defaults to compare.metric of the recipe.")] = (
        None
    )
    columns: Annotated[
        str | None,
        option("COLUMNS", "Comma-separated columns to show, in this order, such as variant,valid_loss,verdict."),
    ] = None
    sort: Annotated[str | None, option("COLUMN", "Column to sort by; -COLUMN sorts in descending order.")] = None
    notes: Annotated[bool, typer.Option("--notes", help="Show all details of the notes below the table.")] = False
    style: Annotated[
        str | None,
        option(
            "STYLE",
            "Comma-separated: pm (± sd in the cells), bold (best results), stars (significance), groups (rules between "
            "rows with different parents), or paper for all of them.",
        ),
    ] = None
    caption: Annotated[str | None, option("TEXT", "Caption of a LaTeX table. Defaults to the description.")] = None
    label: Annotated[str | None, option("LABEL", "Label of a LaTeX table. Defaults to tab:STUDY.")] = None

    @property
    def look(self) -> Style:
        """How the table is shown. Raises ArgumentError."""
        from ablate.report.style import Style

        return Style.of(self.style, self.caption, self.label)

    @property
    def names(self) -> list[str] | None:
        """The columns to show, None for the usual ones."""
        return None if self.columns is None else [part.strip() for part in self.columns.split(",") if part.strip()]


class Without:
    """Options of a dataclass that a command does not have: ``Annotated[Selection, Without("only")]``."""

    def __init__(self, *names: str) -> None:
        self.names = names


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """The command as typer needs it: each parameter that is a dataclass of options becomes these options."""
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind, *more = get_args(parameter.annotation) or (parameter.annotation,)
        if not is_dataclass(kind):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        left_out = {name for one in more if isinstance(one, Without) for name in one.names}
        types = get_type_hints(kind, include_extras=True)
        chosen = [field for field in fields(kind) if field.name not in left_out]
        bundles[parameter.name] = (kind, [field.name for field in chosen])  # type: ignore[assignment]
        parameters += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=types[field.name],
            )
            for field in chosen
        ]

    def call(**given: Any) -> int:
        for name, (kind, names) in bundles.items():
            given[name] = kind(**{one: given.pop(one) for one in names})
        return command(**given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def suggested(command: str, *arguments: object, flags: Sequence[str] = ()) -> str:
    """A command to print, as a shell takes it: arguments that begin with a dash come after ``--``."""
    words = list(map(str, arguments))
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    rest = ["--", *words[first:]] if words[first:] else []
    return without_credentials(["ablate", command, *words[:first], *flags, *rest])


def flag_of(runs: Path) -> list[str]:
    """The words that select a folder of runs in a command; none for the default."""
    return [] if runs.absolute() == DEFAULT_RUNS.absolute() else ["--runs", str(runs)]


SECRETS = {
    "--tracking-uri": "set MLFLOW_TRACKING_URI to the tracking URI first: its credentials are not shown",
    "--notify": "set ABLATE_NOTIFY to the URL of --notify first: it is not shown",
}
"""Flags whose values can be secrets, and how to pass them otherwise."""


def without_credentials(words: Sequence[str]) -> str:
    """A command line to print. It does not contain a tracking URI with credentials or the URL of ``--notify``, but says
    how to pass them.
    """
    kept: list[str] = []
    hidden: dict[str, None] = {}
    for before, word in zip(["", *words], words, strict=False):
        flag = before if before in SECRETS else word.partition("=")[0]
        if flag in SECRETS and word != flag and safe_words([before, word])[1] != word:
            hidden[SECRETS[flag]] = None
            kept = kept[:-1] if before == flag else kept
        else:
            kept.append(word)
    return shlex.join(safe_words(kept)) + (f" ({'; '.join(hidden)})" if hidden else "")


def check_output(output: Path, *suffixes: str, flag: str = "--output") -> None:
    """Raises ValueError for a file with another suffix, a folder, and a file in a folder that does not exist or cannot
    be written.
    """
    if suffixes and output.suffix.lower() not in suffixes:
        raise ValueError(f"{flag} (={output}) must end in {' or '.join(suffixes)}.")
    if output.is_dir():
        raise ValueError(f"{flag} (={output}) must be a file, not a folder.")
    if not output.absolute().parent.is_dir():
        raise ValueError(
            f"{flag} (={output}) must be in an existing folder. Create the folder '{output.parent}' first."
        )
    if not output.exists() and not os.access(output.absolute().parent, os.W_OK):
        raise ValueError(f"{flag} (={output}) must be in a folder that you can write to. Choose another folder.")
