"""``ablate ensemble``: the averaged predictions of each variant's seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.cli.console import grid_of, output, print_json, say
from ablate.cli.options import Json, RecipePath, Selection

if TYPE_CHECKING:
    from ablate.execution.ensembles import Ensemble


def ensemble(recipe: RecipePath, selection: Selection, as_json: Json = False) -> int:
    """Average the predictions of each variant's finished seeds and evaluate them, without training.

    There is one ensemble per variant, so no verdicts are given.

    Example: ablate ensemble digits.yaml --only net6,net7
    """
    from ablate.execution.ensembles import ensembles

    plan = selection.plan(recipe)
    found = ensembles(plan, selection.store)
    if as_json:
        print_json({"study": plan.recipe.study, "rows": [row_of(one) for one in found]})
    else:
        show(found)
    for one in found:
        if one.reason:
            say(f"{one.variant} has no ensemble: {one.reason.removesuffix('.')}.")
    selection.mention_last(plan.recipe, "ensemble")
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
    """The variants that have an ensemble: each metric as the mean of the seeds, and of the ensemble."""
    rows = [one for one in found if one.together]
    metrics = list(dict.fromkeys(name for one in rows for name in one.together))
    if not rows:
        return
    grid = grid_of("Name", *(f"{name} ({what}) >" for name in metrics for what in ("mean", "ensemble")))
    for one in rows:
        cells = [
            f"{v:.5g}" if v is not None else "—" for n in metrics for v in (one.single.get(n), one.together.get(n))
        ]
        grid.add_row(one.label, *cells)
    output().print(grid)
