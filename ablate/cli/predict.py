"""``ablate predict``: what a trained row says of new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, RecipePath, Runs, Scale, Seeds, Sets, read


def predict(
    recipe: RecipePath,
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="A trained row.", show_default=False)],
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="Inputs: a .csv or .npz.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The .csv to write.", show_default=False)
    ],
    lookup: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Kaggle's IdLookupTable.csv: write RowId,Location.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Whose network; the first seed unless given.", show_default=False)
    ] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="The mean of all seeds' predictions.")] = False,
    seeds: Seeds = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
) -> int:
    """Write a row's predictions of new inputs into a file; landmarks in pixels, classes with their probabilities."""
    from ablate.cli.console import say
    from ablate.execution.predictions import predictions_csv, trained_runs
    from ablate.planning.plan import make_plan
    from ablate.store.store import Store

    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output (={output}) is in a folder that does not exist. Make {output.parent} first.")
    if ensemble and seed is not None:
        raise ValueError(f"--seed (={seed}) stands beside --ensemble, which takes all seeds. Keep one of them.")
    study = read(recipe, seeds, None, None, sets, scale)
    store = Store(runs.absolute())
    networks = trained_runs(make_plan(study, store), store, variant, seed=seed, ensemble=ensemble)
    store.disk.deliver(output, predictions_csv(networks, data, lookup).encode())
    say(f"wrote {output}")
    return 0
