"""``ablate predict``: a trained variant's predictions for new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import RecipePath, Selection, Without, check_output


def predict(
    recipe: RecipePath,
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="A trained variant.", show_default=False)],
    selection: Annotated[Selection, Without("only")],
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE", help="Input file (.csv or .npz).", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Output file (.csv).", show_default=False)
    ],
    lookup: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Kaggle's IdLookupTable.csv. The output then has the columns RowId and Location.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="SEED", help="Seed of the network to use. Defaults to the first seed.", show_default=False
        ),
    ] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Average the predictions of all seeds.")] = False,
) -> int:
    """Write a variant's predictions for new inputs to a CSV file: landmarks in pixels, or class probabilities.

    Example: ablate predict faces.yaml net7 --data test.csv -o predictions.csv --ensemble
    """
    from ablate.cli.console import say
    from ablate.execution.predictions import predictions_csv, trained_runs
    from ablate.planning.plan import make_plan

    check_output(output)
    if ensemble and seed is not None:
        raise ValueError(f"--seed (={seed}) cannot be combined with --ensemble. Remove one of them.")
    study, store = selection.read(recipe), selection.store
    networks = trained_runs(make_plan(study, store), store, variant, seed=seed, ensemble=ensemble)
    store.disk.deliver(output, predictions_csv(networks, data, lookup).encode())
    say(f"Wrote {output}.")
    return 0
