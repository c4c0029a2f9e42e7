"""What each design of a recipe's tricks would take, beside what is trained already."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ablate.planning.plan import make_plan
from ablate.recipe import Recipe, RecipeError
from ablate.store.store import Store


@dataclass(frozen=True)
class DesignOutlook:
    """A design: its rows, its different runs, how many of them are still to be trained; or the first thing that stands against it."""

    design: str
    rows: int | None = None
    runs: int | None = None
    to_train: int | None = None
    problem: str | None = None


def design_outlooks(load: Callable[[str], Recipe], store: Store) -> list[DesignOutlook]:
    """One for each design that there is, and one for all that are possible, whose common runs count once. ``load`` reads the recipe under a design."""
    from ablate.recipe.designs import DESIGNS

    found = []
    runs: set[str] = set()
    missing: set[str] = set()
    rows = 0
    for design in DESIGNS:
        try:
            recipe = load(design)
        except RecipeError as error:
            found.append(DesignOutlook(design, problem=str(error.problems[0])))
            continue
        plan = make_plan(recipe, store)
        own, to_do = {run.fingerprint for run in plan.runs}, {run.fingerprint for run in plan.to_do()}
        found.append(DesignOutlook(design, len(recipe.variants), len(own), len(to_do)))
        runs, missing, rows = runs | own, missing | to_do, rows + len(recipe.variants)
    return [*found, DesignOutlook("together", rows, len(runs), len(missing))]


def show_designs(outlooks: list[DesignOutlook], *, as_json: bool) -> None:
    """Print them on stdout."""
    from ablate.cli.console import output

    if as_json:
        output().print_json(json.dumps([asdict(one) for one in outlooks]))
        return
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("Design")
    for title in ("Rows", "Runs", "To train"):
        grid.add_column(title, justify="right")
    for one in outlooks:
        if one.problem is None:
            grid.add_row(one.design, f"{one.rows:,}", f"{one.runs:,}", f"{one.to_train:,}")
    output().print(grid)
    for one in outlooks:
        if one.problem is not None:
            output().print(f"{one.design} is not possible: {one.problem}", soft_wrap=True)
