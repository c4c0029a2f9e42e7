"""``ablate status``: what is running now, variant by variant."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.console import output, print_json
from ablate.cli.options import Json, RecipePath, Selection


def status(
    recipe: RecipePath,
    selection: Selection,
    as_json: Json = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Update the status until all runs have ended. Without a terminal, print each change."
        ),
    ] = False,
) -> int:
    """Show the status of each variant's runs: seed, epoch and time of the last update.

    Example: ablate status digits.yaml
    """
    from ablate.cli.show_status import grid, json_of
    from ablate.cli.watch_status import follow, state_now

    study, store = selection.read(recipe, need_files=False), selection.store
    if not watch:
        rows = state_now(study, store).rows
        if as_json:
            print_json(json_of(study.study, rows))
        else:
            output().print(grid(rows))
    selection.mention_last(study, "status")
    if watch:
        follow(study, store, as_json=as_json)
    return 0
