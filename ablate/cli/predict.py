"""``ablate predict``: a trained variant's predictions for new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import RecipePath, Selection, Without, argument, check_output, option


def predict(
    recipe: RecipePath,
    variant: Annotated[str, argument("VARIANT", "A trained variant.")],
    selection: Annotated[Selection, Without("only")],
    data: Annotated[Path, option("FILE", "Input file (.csv or .npz).", "--data")],
    output: Annotated[Path, option("FILE", "Output file (.csv).", "--output", "-o")],
    lookup: Annotated[
        Path | None, option("FILE", "Kaggle's IdLookupTable.csv. The output then has the columns RowId and Location.")
    ] = None,
    seed: Annotated[int | None, option("SEED", "Seed of the network to use. Defaults to the first seed.")] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Average the predictions of all seeds.")] = False,
) -> int:
    """Write a variant's predictions for new inputs to a CSV file: keypoints in pixels, or class probabilities.

    Example: ablate predict faces.yaml net7 --data test.csv -o predictions.csv --ensemble
    """
    from ablate.data.data import shown
    from ablate.execution.predictions import predictions_csv, trained_runs
    from ablate.notes.note import Note
    from ablate.report.notes import sentence

    check_output(output, ".csv")
    if ensemble and seed is not None:
        raise ValueError(f"--seed (={seed}) cannot be combined with --ensemble. Remove one of them.")
    plan, store = selection.plan(recipe), selection.store
    networks = trained_runs(plan, store, variant, seed=seed, ensemble=ensemble)

    def warn(note: Note) -> None:
        say(f"warning: --data (={shown(data)}): {sentence(note)}.")

    store.disk.deliver(output, predictions_csv(networks, data, lookup, warn).encode())
    say(f"Wrote {output}.")
    return 0
