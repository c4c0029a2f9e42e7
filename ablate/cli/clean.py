"""``ablate clean``: remove runs that no study uses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import number, output
from ablate.cli.options import Selection, Without, argument

WORDS = {
    "named by no study": "unused run",
    "removed before": "partially removed run",
    "half-written": "incomplete file",
    "checkpoint of a finished run": "checkpoint of a finished run",
}
"""The kinds that cleaning tells apart, in the words of the output."""


def clean(
    selection: Annotated[Selection, Without("seeds", "only", "design", "sets", "scale")],
    recipe: Annotated[
        Path | None,
        argument(
            "RECIPE",
            "Also remove this recipe's runs of deleted variants and of earlier invocations with different options.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed without removing it.")] = False,
) -> int:
    """Remove runs that no study uses and files left behind by crashes. Runs still training are kept.

    Example: ablate clean --dry-run
    """
    from ablate.planning.cleaning import clean as remove
    from ablate.planning.cleaning import find_spare
    from ablate.recipe import Recipe

    store = selection.store
    study = Recipe.load(recipe, need_files=False) if recipe is not None else None
    found = [spare for spare in find_spare(store, study) if not spare.busy] if dry_run else remove(store, study)
    kinds = Counter(WORDS[spare.kind] for spare in found)
    megabytes = f"{sum(spare.bytes for spare in found) / 1e6:,.1f} MB"
    if dry_run:
        for spare in found:
            output().print(f"{spare.path.relative_to(store.root)}: {WORDS[spare.kind]}, {spare.bytes / 1e6:,.1f} MB")
    verb = "Would free" if dry_run else "Freed"
    parts = ", ".join(number(count, kind) for kind, count in kinds.items())
    output().print(f"{verb} {megabytes}: {parts}." if parts else "Nothing to remove.")
    return 0
