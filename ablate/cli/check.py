"""``ablate check``: what is wrong with the variants of a recipe, before they are trained."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.console import output, print_json, say
from ablate.cli.options import Json, RecipePath, Selection


def check(
    recipe: RecipePath,
    selection: Selection,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="CPU time that each short training may take.")
    ] = 3.0,
    as_json: Json = False,
) -> int:
    """Look for common mistakes before training, in about a second per small network. Nothing is stored. Exits with
    code 2 if there is an error, with 0 if there are only warnings.

    Imports and tries the code that the recipe names with target. 'ablate catalog check' lists the checks.

    Example: ablate check digits.yaml --only net1,net2
    """
    from ablate.planning.plan import make_plan
    from ablate.planning.preflight import preflight
    from ablate.report.checks import as_values, incomplete, line_of, summary_of

    if not seconds > 0:
        raise ValueError(f"--seconds (={seconds:g}) must be greater than 0.")
    study = make_plan(selection.read(recipe), selection.store).recipe
    outcome = preflight(study, study.variants, seconds=seconds)
    if as_json:
        print_json(as_values(study.study, outcome))
    else:
        for problem in outcome.problems:
            output().print(line_of(problem), soft_wrap=True)
        output().print(summary_of(outcome), soft_wrap=True)
    for line in incomplete(outcome):
        say(line)
    if outcome.own:
        say(f"{', '.join(outcome.own)}: trained by your own code, so only the arguments were checked.")
    return 2 if outcome.errors else 0
