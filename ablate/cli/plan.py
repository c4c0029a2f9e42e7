"""``ablate plan``: the variants, what each changes, and what there is to do; trains nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Design, Only, RecipePath, Runs, Scale, Seeds, Sets, mention_last, read


def plan(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    quick: Annotated[bool, typer.Option("--quick", help="Leave the networks' sizes out: nothing is built.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Show the variants, what each changes, and what there is to train."""
    from ablate.cli.console import say
    from ablate.cli.show_plan import show_plan
    from ablate.study.outlook import outlook
    from ablate.study.plan import make_plan
    from ablate.study.store import Store

    study = read(recipe, seeds, only, design, sets, scale)
    store = Store(runs.absolute())
    made = make_plan(study, store)
    view = outlook(made, store, networks=not quick)
    show_plan(view, as_json=as_json)
    mention_last(study, store, "plan")
    for row in view.rows:
        if row.error:
            say(f"{row.variant}: {row.error}")
    return 0
