"""``ablate ensemble``: what the seeds of each row know together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Design, Only, RecipePath, Runs, Scale, Seeds, Sets, mention_last, read

if TYPE_CHECKING:
    from ablate.execution.ensembles import Ensemble


def ensemble(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Evaluate the mean prediction of each row's finished seeds; trains nothing. One number a row has no scatter, so there are no verdicts."""
    from ablate.cli.console import output, say
    from ablate.execution.ensembles import ensembles
    from ablate.planning.plan import make_plan
    from ablate.store.store import Store

    study = read(recipe, seeds, only, design, sets, scale)
    store = Store(runs.absolute())
    found = ensembles(make_plan(study, store), store)
    if as_json:
        output().print_json(json.dumps({"study": study.study, "rows": [row_of(one) for one in found]}))
    else:
        show(found)
    for one in found:
        if one.reason:
            say(f"{one.variant}: no ensemble: {one.reason.removesuffix('.')}.")
    mention_last(study, store, "ensemble")
    return 0 if any(one.together for one in found) else 1


def row_of(one: Ensemble) -> dict[str, object]:
    """One row in plain JSON values."""
    return {
        "variant": one.variant,
        "label": one.label,
        "seeds": list(one.seeds),
        "ensemble": one.together or None,
        "mean_of_seeds": one.single or None,
        "reason": one.reason or None,
    }


def show(found: list[Ensemble]) -> None:
    """The rows that have an ensemble: each metric of the mean of its seeds, and of the ensemble."""
    from rich.table import Table
    from rich.text import Text

    from ablate.cli.console import output

    rows = [one for one in found if one.together]
    metrics = list(dict.fromkeys(name for one in rows for name in one.together))
    if not rows:
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("Name")
    for name in metrics:
        grid.add_column(f"{name}, mean of seeds", justify="right")
        grid.add_column("ensemble", justify="right")
    for one in rows:
        cells = [
            f"{v:.5g}" if v is not None else "—" for n in metrics for v in (one.single.get(n), one.together.get(n))
        ]
        grid.add_row(Text(one.label), *cells)
    output().print(grid)
