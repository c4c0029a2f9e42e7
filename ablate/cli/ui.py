"""``ablate ui``: the MLflow UI on this machine's studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import Uri, argument


def ui(
    recipe: Annotated[Path | None, argument("RECIPE", "Print a link to this recipe's study.")] = None,
    tracking_uri: Uri = None,
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=1, max=65535, help="Port on 127.0.0.1; the next free one if it is in use."),
    ] = 5000,
) -> int:
    """Start the MLflow UI on 127.0.0.1. Press Ctrl-C to stop it.

    Example: ablate ui digits.yaml --port 5001
    """
    from ablate.recipe import Recipe
    from ablate.tracking.ui import serve

    study = Recipe.load(recipe, need_files=False).study if recipe is not None else None
    try:
        return serve(tracking_uri, port, study, say=say)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
