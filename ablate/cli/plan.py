"""``ablate plan``: the variants, what each changes, and what there is to do; trains nothing."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Design, Only, RecipePath, Runs, Scale, Seeds, Sets, mention_last, read

NAME_OF_ERROR = r"^[A-Z]\w*: "
"""What Python calls an error: no news for whoever reads what is wrong."""


def plan(
    recipe: RecipePath,
    seeds: Seeds = None,
    only: Only = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
    quick: Annotated[bool, typer.Option("--quick", help="Leave the networks' sizes out: nothing is built.")] = False,
    designs: Annotated[
        bool, typer.Option("--designs", help="Say instead how many runs each design of the tricks would add.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Show the variants, what each changes, and what there is to train; exit code 2 where a network cannot be built, or a trick finds nothing to do."""
    from ablate.cli.console import say
    from ablate.cli.show_plan import show_plan
    from ablate.planning.changed import changed
    from ablate.planning.plan import make_plan
    from ablate.planning.plan_summary import outlook
    from ablate.planning.untracked import untracked
    from ablate.recipe.advice import advice_of
    from ablate.report.notes import lines_by_variant
    from ablate.store.store import Store

    if designs:
        from ablate.cli.show_designs import design_outlooks, show_designs
        from ablate.recipe import Recipe

        if design is not None or only is not None:
            raise ValueError("--designs looks at all designs and all their rows: leave --design and --only out.")
        Recipe.load(recipe, seeds=seeds, sets=sets or (), scale=scale)  # what is wrong without any design

        def load(name: str) -> Recipe:
            return Recipe.load(recipe, seeds=seeds, design=name, sets=sets or (), scale=scale)

        show_designs(design_outlooks(load, Store(runs.absolute())), as_json=as_json)
        return 0
    study = read(recipe, seeds, only, design, sets, scale)
    store = Store(runs.absolute())
    made = make_plan(study, store)
    view = outlook(made, store, networks=not quick)
    show_plan(view, as_json=as_json)
    for row in view.rows:
        if row.stack_reason:
            say(f"{row.variant}: its seeds train one by one, not as a stack. {row.stack_reason}")
    for sentence in lines_by_variant((*changed(made, store), *untracked(made, store))):
        say(sentence)
    for sentence in advice_of(study):
        say(f"warning: {sentence}")
    mention_last(study, store, "plan")
    wrong = [row for row in view.rows if row.error]
    for row in wrong:
        say(f"{row.variant}: {re.sub(NAME_OF_ERROR, '', str(row.error))}")
    return 2 if wrong else 0
