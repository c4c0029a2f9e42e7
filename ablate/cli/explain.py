"""``ablate explain``: what the curves of variants say about their training, and what to try."""

from __future__ import annotations

from typing import Annotated

from ablate.cli.console import output, print_json
from ablate.cli.options import Json, RecipePath, Selection, Without, argument, option


def explain(
    recipe: RecipePath,
    selection: Annotated[Selection, Without("only")],
    variant: Annotated[str | None, argument("VARIANT", "A variant. Defaults to all of them.")] = None,
    metric: Annotated[
        str | None, option("METRIC", "Metric to compare. Defaults to compare.metric of the recipe.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Explain what is wrong with a variant's training, such as overfitting or divergence, and what to try.

    Example: ablate explain digits.yaml net2
    """
    from ablate.evidence.gather import table_of
    from ablate.recipe.shape import available
    from ablate.report.explained import as_tree, explained

    plan = selection.plan(recipe, metric=metric, need_files=False)
    table = table_of(plan.record(), selection.store)
    names = [row.variant for row in table.rows]
    if variant is not None and variant not in names:
        raise ValueError(f"VARIANT (={variant}) is not defined in {recipe}.{available(variant, names)}")
    rows = [row for row in table.rows if variant in (None, row.variant)]
    if as_json:
        print_json([as_tree(table, row) for row in rows])
    else:
        output().file.write("".join(f"{line}\n" for line in explained(table, rows)))
    selection.mention_missing()
    selection.mention_last(plan.recipe, "explain")
    return 0
