"""``ablate table``: the table of what is done, from the store."""

from __future__ import annotations

from ablate.cli.flags import (
    DEFAULT_RUNS,
    Columns,
    Design,
    Format,
    Only,
    RecipePath,
    Runs,
    Scale,
    Seeds,
    Sets,
    Sort,
    listed,
    mention_last,
    read,
)


def table(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    format: Format = "text",
    columns: Columns = None,
    sort: Sort = None,
) -> int:
    """Print the table of what is done; trains nothing."""
    from ablate import api
    from ablate.cli.show_table import show_as
    from ablate.study.store import Store

    study = read(recipe, seeds, only, design, sets, scale)
    show_as(api.table(study, root=runs), format, listed(columns), sort)
    mention_last(study, Store(runs.absolute()), "table")
    return 0
