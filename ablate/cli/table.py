"""``ablate table``: the table of results so far, from the store, or from an MLflow experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ablate.cli.console import say
from ablate.cli.options import Format, Layout, Selection, Uri, argument, option

if TYPE_CHECKING:
    from ablate.evidence.gather import Table

ELSEWHERE = "Runs of other tools, from MLflow or a CSV file"


@dataclass(frozen=True)
class Logged:
    """The options about runs of other tools."""

    from_mlflow: Annotated[
        str | None,
        option(
            "EXPERIMENT",
            "Build the table from an MLflow experiment instead of a recipe. "
            "--metric then defaults to valid_loss or val_loss.",
            rich_help_panel=ELSEWHERE,
        ),
    ] = None
    from_csv: Annotated[
        Path | None,
        option(
            "FILE",
            "Build the table from a CSV file with a row per run. --by and --seed are then names of columns.",
            rich_help_panel=ELSEWHERE,
        ),
    ] = None
    by: Annotated[
        str | None,
        option(
            "FIELD",
            "Field that identifies the variant of a run: params.NAME, tags.NAME or run_name.",
            rich_help_panel=ELSEWHERE,
        ),
    ] = None
    seed: Annotated[
        str | None,
        option("FIELD", "Field that holds the seed of a run. Defaults to params.seed.", rich_help_panel=ELSEWHERE),
    ] = None
    better: Annotated[
        str | None,
        option(
            "lower|higher",
            "Whether lower or higher values are better, if it cannot be inferred from the metric's name.",
            rich_help_panel=ELSEWHERE,
        ),
    ] = None
    baseline: Annotated[
        str | None,
        option(
            "VARIANT",
            "Variant to compare the others with. Defaults to the first one logged.",
            rich_help_panel=ELSEWHERE,
        ),
    ] = None


def table(
    selection: Selection,
    layout: Layout,
    logged: Logged,
    recipe: Annotated[
        list[Path] | None, argument("RECIPE...", "Recipe files (YAML). Several studies share one table.")
    ] = None,
    format: Format = "text",
    tracking_uri: Uri = None,
) -> int:
    """Print the table of results so far, without training.

    Several recipes are shown in one table, with a heading and verdicts for each study.

    Example: ablate table digits.yaml --columns variant,accuracy,verdict --sort -accuracy
    """
    from ablate.cli.show_table import filled, flags_named, show
    from ablate.report.formats import checked

    with flags_named():
        checked(format)
    source = "--from-csv" if logged.from_csv is not None else "--from-mlflow"
    if logged.from_mlflow is not None or logged.from_csv is not None:
        others = {"from-mlflow": logged.from_mlflow} if logged.from_csv is not None else {}
        _refuse(
            {"RECIPE": recipe[0] if recipe else None, **selection.given(), **others},
            f"cannot be combined with {source}. Remove one of them.",
        )
        found = _read(source, logged, layout.metric, tracking_uri)
        show([found], format, filled(found, layout))
        return 0
    about_runs = {"by": logged.by, "seed": logged.seed, "better": logged.better, "baseline": logged.baseline}
    _refuse(about_runs, "requires --from-mlflow EXPERIMENT or --from-csv FILE.")
    if not recipe:
        raise ValueError("RECIPE is missing. Pass a recipe file, or runs with --from-mlflow or --from-csv.")
    from ablate.evidence.gather import table_of

    plans = [selection.plan(path, metric=layout.metric, need_files=False) for path in recipe]
    show([table_of(plan.record(), selection.store) for plan in plans], format, layout)
    selection.mention_missing()
    for plan in plans:
        selection.mention_last(plan.recipe, "table")
    return 0


def _refuse(flags: Mapping[str, object], rule: str) -> None:
    for name, value in flags.items():
        if value is not None:
            flag = name if name.isupper() else f"--{name}"
            raise ValueError(f"{flag} (={value}) {rule}")


def _read(source: str, given: Logged, metric: str | None, tracking_uri: str | None) -> Table:
    """The table of an experiment or CSV file; notes on how it was read go to stderr."""
    from ablate.report.notes import lines_by_variant
    from ablate.tracking.csv_runs import read_csv
    from ablate.tracking.external_runs import Question, read_logged

    ways: dict[str | None, Literal["lower", "higher"] | None] = {"lower": "lower", "higher": "higher", None: None}
    if given.better not in ways:
        raise ValueError(f"--better (={given.better}) must be lower or higher.")
    if given.by is None:
        raise ValueError(
            f"--by is required with {source}. Pass the field that identifies the variant, such as "
            f"--by {'variant' if given.from_csv else 'params.variant'}."
        )
    question = Question(given.by, seed=given.seed, metric=metric, better=ways[given.better], baseline=given.baseline)
    if given.from_csv is not None:
        logged = read_csv(given.from_csv, question)
    else:
        logged = read_logged(str(given.from_mlflow), question, tracking_uri)
    for line in lines_by_variant(logged.notes):
        say(line)
    return logged.table()
