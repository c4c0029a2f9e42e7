"""``ablate plan``: the variants, their changes, and the runs to be trained; trains nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import Json, RecipePath, Selection


def plan(
    recipe: RecipePath,
    selection: Selection,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Do not build the networks, and run no code of targets; omits parameter counts."),
    ] = False,
    designs: Annotated[
        bool,
        typer.Option("--designs", help="Show the number of runs that each design would require, instead of the plan."),
    ] = False,
    as_json: Json = False,
) -> int:
    """Show the variants, their changes and the runs to be trained. Exits with code 2 if a network cannot be built or a
    trick has no effect.

    Imports and tries the code that the recipe names with target, except with --quick.

    Example: ablate plan digits.yaml --seeds 5
    """
    from ablate.cli.show_plan import design_outlooks, looks_text, show_designs, show_plan, warn_of
    from ablate.cli.show_tuning import tuned_text, tuning_text
    from ablate.evidence.stages import stage_of
    from ablate.execution.tune_study import step_of
    from ablate.notes.note import Note
    from ablate.planning.plan import make_plan
    from ablate.planning.plan_summary import outlook
    from ablate.report.new_samples import what_limits
    from ablate.report.notes import lines_by_variant

    store = selection.store
    if designs:
        if selection.design is not None or selection.only is not None:
            raise ValueError("--designs cannot be combined with --design or --only. Remove these options.")
        show_designs(design_outlooks(recipe, selection, store), as_json=as_json)
        return 0
    study = selection.read(recipe)
    stage = stage_of(make_plan(study, store), store)
    made = stage.plan
    study = made.recipe
    view = outlook(step_of(made) or made, store, networks=not quick)
    show_plan(view, as_json=as_json)
    if not as_json and (text := tuning_text(made) or tuned_text(made)):
        say(text)
    if stage.looks is not None and not as_json:
        say(looks_text(stage))
    for row in view.rows:
        if row.stack_reason:
            say(f"{row.variant}: Seeds are trained one at a time. {row.stack_reason}")
    notes = [
        Note("targets_stay", row.variant, values={"tricks": row.moves_away}) for row in view.rows if row.moves_away
    ]
    notes += [Note("not_repeatable", row.variant) for row in view.rows if not row.repeats]
    for sentence in lines_by_variant(notes):
        say(f"warning: {sentence}")
    warn_of(made, store)
    for sentence in what_limits(made, store):
        say(sentence)
    selection.mention_last(study, "plan")
    wrong = [row for row in view.rows if row.error]
    for row in wrong:
        say(f"{row.variant}: {row.error}")
    return 2 if wrong else 0
