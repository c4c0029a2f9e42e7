"""``ablate table``: the table of what is done, from the store, or from runs that others logged in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablate.cli.flags import (
    DEFAULT_RUNS,
    Columns,
    Design,
    Format,
    Only,
    Runs,
    Scale,
    Seeds,
    Sets,
    Sort,
    Uri,
    listed,
    mention_last,
    read,
)

if TYPE_CHECKING:
    from ablate.evidence.gather import Table

ELSEWHERE = "Runs of others"


def table(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)
    ] = None,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    format: Format = "text",
    columns: Columns = None,
    sort: Sort = None,
    from_mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="EXPERIMENT",
            help="Instead of a recipe: an MLflow experiment, logged by anything.",
            show_default=False,
            rich_help_panel=ELSEWHERE,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="What names a run's variant: params.variant, tags.x or run_name.",
            show_default=False,
            rich_help_panel=ELSEWHERE,
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(help="What says a run's seed; else params.seed.", show_default=False, rich_help_panel=ELSEWHERE),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What to compare; else valid_loss or val_loss.", show_default=False, rich_help_panel=ELSEWHERE
        ),
    ] = None,
    better: Annotated[
        str | None,
        typer.Option(
            metavar="lower|higher",
            help="Which way is good, where the metric's name does not say.",
            show_default=False,
            rich_help_panel=ELSEWHERE,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The variant that the others are compared with; else the first that was logged.",
            show_default=False,
            rich_help_panel=ELSEWHERE,
        ),
    ] = None,
    tracking_uri: Uri = None,
) -> int:
    """Print the table of what is done; trains nothing."""
    from ablate.cli.show_table import check_format, mention_missing, show_as

    check_format(format)
    about_runs = {"by": by, "seed": seed, "metric": metric, "better": better, "baseline": baseline}
    if from_mlflow is not None:
        selecting: dict[str, object] = {
            "RECIPE": recipe,
            "seeds": seeds,
            "only": only,
            "design": design,
            "set": sets or None,
        }
        selecting["scale"] = None if scale == 1 else scale
        _refuse(selecting, "is about a recipe: leave it out with --from-mlflow.")
        found = _logged(from_mlflow, by, seed, metric, better, baseline, tracking_uri)
        show_as(found, format, listed(columns) or _told(found), sort)
        return 0
    _refuse(about_runs, "is about an experiment: add --from-mlflow EXPERIMENT.")
    if recipe is None:
        raise ValueError("RECIPE is missing: name a recipe's file, or an experiment with --from-mlflow.")
    from ablate import api
    from ablate.store.store import Store

    study = read(recipe, seeds, only, design, sets, scale, need_files=False)
    show_as(api.table(study, root=runs), format, listed(columns), sort)
    mention_missing(runs)
    mention_last(study, Store(runs.absolute()), "table")
    return 0


def _refuse(flags: Mapping[str, object], rule: str) -> None:
    for name, value in flags.items():
        if value is not None:
            flag = name if name.isupper() else f"--{name}"
            raise ValueError(f"{flag} (={value}) {rule}")


def _logged(
    experiment: str,
    by: str | None,
    seed: str | None,
    metric: str | None,
    better: str | None,
    baseline: str | None,
    tracking_uri: str | None,
) -> Table:
    """The table of an experiment; what was found out about it goes to stderr."""
    from ablate.cli.console import say
    from ablate.report.notes import lines_by_variant
    from ablate.tracking.external_runs import Question, read_logged

    ways: dict[str | None, Literal["lower", "higher"] | None] = {"lower": "lower", "higher": "higher", None: None}
    if better not in ways:
        raise ValueError(f"--better (={better}) must be lower or higher.")
    if by is None:
        raise ValueError("--by is missing: say what names a run's variant, such as --by params.variant.")
    logged = read_logged(experiment, Question(by, seed, metric, ways[better], baseline), tracking_uri)
    for line in lines_by_variant(logged.notes):
        say(line)
    return logged.table()


def _told(table: Table) -> list[str]:
    """The default columns, without those that say nothing here: others log what they like."""
    from ablate.report.columns import available, default_keys

    columns = available(table)
    return [key for key in default_keys(table) if any(columns[key].value(row) not in (None, "") for row in table.rows)]
