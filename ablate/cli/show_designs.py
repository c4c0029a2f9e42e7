"""The number of runs that each design of a recipe's tricks would require."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ablate.cli.options import Selection
from ablate.planning.plan import make_plan
from ablate.recipe import RecipeError
from ablate.store.store import Store


@dataclass(frozen=True)
class DesignOutlook:
    """A design: the number of its variants, of its distinct runs, and of those to be trained; or the first problem with
    it.
    """

    design: str
    rows: int | None = None
    runs: int | None = None
    to_train: int | None = None
    problem: str | None = None


def design_outlooks(path: Path, selection: Selection, store: Store) -> list[DesignOutlook]:
    """One for each design, and one for all that are possible; runs that they share count once. Raises RecipeError if no
    design is to blame.
    """
    from ablate.recipe.designs import DESIGNS

    selection.read(path)
    found = []
    runs: set[str] = set()
    missing: set[str] = set()
    rows = 0
    for design in DESIGNS:
        try:
            recipe = replace(selection, design=design).read(path)
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
    from ablate.cli.console import grid_of

    grid = grid_of("Design", "Variants >", "Runs >", "To train >")
    for one in outlooks:
        if one.problem is None:
            name = "total (shared runs counted once)" if one.design == "together" else one.design
            grid.add_row(name, f"{one.rows:,}", f"{one.runs:,}", f"{one.to_train:,}")
    output().print(grid)
    for one in outlooks:
        if one.problem is not None:
            output().print(f"Design {one.design} cannot be used: {one.problem}", soft_wrap=True)
