"""Arguments and options that commands share, and reading a recipe with them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ablate.recipe import Recipe
    from ablate.store.store import Store

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)]
Seeds = Annotated[
    str | None,
    typer.Option(help="A count (5: seeds 0 to 4) or a list (0,3,7) instead of the recipe's.", show_default=False),
]
Only = Annotated[str | None, typer.Option(metavar="ROWS", help="Only these rows: net1,net3.", show_default=False)]
Design = Annotated[
    str | None,
    typer.Option(
        help="Arrange the tricks by a design: ladder, leave-one-out, one-at-a-time, pairs.", show_default=False
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Replace a setting of all rows (epochs=50) or of one (net3.epochs=50).",
        show_default=False,
    ),
]
Scale = Annotated[float, typer.Option(help="Multiply every number of epochs by this.")]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The folder of runs.")]
Uri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow's address; else $MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.",
        show_default=False,
    ),
]
Format = Annotated[str, typer.Option("--format", help="text, md, tex, html, csv or json.")]
Columns = Annotated[
    str | None, typer.Option(help="Columns to show, in this order: variant,valid_loss,verdict.", show_default=False)
]
Sort = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Sort rows by a column; -COLUMN from large to small.", show_default=False),
]

DEFAULT_RUNS = Path("runs")


def read(
    recipe: Path,
    seeds: str | None,
    only: str | None,
    design: str | None,
    sets: list[str] | None,
    scale: float,
    *,
    need_files: bool = True,
) -> Recipe:
    """Read a recipe under the selecting flags; what there is to know about its rows goes to stderr. Raises RecipeError.

    ``need_files=False``: for a look at what is trained, which may outlive the files of its data.
    """
    from ablate.cli import module_path
    from ablate.recipe import Recipe, targets

    targets.know_path(module_path.STARTED_WITH)
    read = Recipe.load(
        recipe, seeds=seeds, only=only, design=design, sets=sets or (), scale=scale, need_files=need_files
    )
    if read.notes:
        from ablate.cli.console import say

        for note in read.notes:
            say(note)
    return read


def mention_last(recipe: Recipe, store: Store, command: str) -> None:
    """Where the last run of this study used other flags than this command, say on stderr which command shows it."""
    from ablate.cli.console import say

    last = store.study(recipe.study).get("selection")
    if last is not None and list(last) != list(recipe.selection):
        words = ["ablate", command, str(recipe.path), *last, *flag_of(store.root)]
        say(f"the last run of this study was selected by other flags; its rows: {shlex.join(words)}")


def flag_of(runs: Path) -> list[str]:
    """The words that name a folder of runs in a command; none for the usual one."""
    return [] if runs.absolute() == DEFAULT_RUNS.absolute() else ["--runs", str(runs)]


def listed(value: str | None) -> list[str] | None:
    """The parts of a comma-separated option, None where it is not given."""
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]
