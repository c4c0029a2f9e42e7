"""``ablate clean``: remove runs that no study names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Runs


def clean(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="Forget rows that this recipe no longer has, and trials of it under other flags.",
            show_default=False,
        ),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> int:
    """Remove runs that no study names, and what crashes left behind. Never a run that is being trained."""
    from ablate.cli.console import output
    from ablate.planning.cleaning import clean as remove
    from ablate.planning.cleaning import find_spare
    from ablate.recipe import Recipe
    from ablate.store.store import Store

    store = Store(runs.absolute())
    study = Recipe.load(recipe, need_files=False) if recipe is not None else None
    found = [spare for spare in find_spare(store, study) if not spare.busy] if dry_run else remove(store, study)
    kinds = Counter(spare.kind for spare in found)
    parts = [f"{count} {what(kind, count)}" for kind, count in kinds.items()]
    megabytes = f"{sum(spare.bytes for spare in found) / 1e6:,.1f} MB"
    if dry_run:
        for spare in found:
            output().print(f"{spare.path.relative_to(store.root)}: {spare.kind}, {spare.bytes / 1e6:,.1f} MB")
    verb = "would free" if dry_run else "freed"
    output().print(f"{verb} {megabytes}: {', '.join(parts)}" if parts else "nothing to remove")
    return 0


def what(kind: str, count: int) -> str:
    """A kind of spare thing in a sentence."""
    plural = "s" if count > 1 else ""
    return {
        "named by no study": f"run{plural} that no study names",
        "removed before": f"run{plural} whose removal was cut short",
        "half-written": f"half-written file{plural}",
        "checkpoint of a finished run": f"checkpoint{plural} of finished runs",
    }[kind]
