"""``ablate lr``: the learning rate to try first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import output as stdout
from ablate.cli.console import print_json, say
from ablate.cli.options import Json, RecipePath, Selection, Without, argument, check_output, option


def lr(
    recipe: RecipePath,
    selection: Annotated[Selection, Without("only", "seeds", "until", "runs")],
    variant: Annotated[str | None, argument("VARIANT", "A variant. Defaults to the baseline.")] = None,
    count: Annotated[
        int, typer.Option("--seeds", metavar="NUMBER", help="Number of seeds to train.", min=1, max=100)
    ] = 3,
    output: Annotated[
        Path | None, option("FILE", "Plot the curve to a .png, .svg or .pdf file.", "--output", "-o")
    ] = None,
    as_json: Json = False,
) -> int:
    """Suggest a learning rate from a range test and short trainings, about 1,000 steps in all. Nothing is stored.

    Uses other seeds than the study, so verdicts remain valid.

    Example: ablate lr digits.yaml net1 -o lr.png
    """
    from ablate.cli.show_table import flags_named
    from ablate.planning.range_test import check, find_rate
    from ablate.recipe.shape import available
    from ablate.report.figure import picture_suffix
    from ablate.report.learning_rate import as_text, as_tree, draw

    with flags_named():
        suffix = None if output is None else picture_suffix(output)
    if output is not None:
        check_output(output)
    study = selection.read(recipe)
    names = [one.name for one in study.variants]
    if variant is not None and variant not in names:
        raise ValueError(f"VARIANT (={variant}) is not defined in {recipe}.{available(variant, names)}")
    chosen = study.variant(variant or names[0])
    check(chosen)
    found = find_rate(chosen.settings, study.folder, study.folds, count)
    if output is not None and suffix is not None:
        from ablate.report.figure import drawing, picture_bytes

        with drawing():
            drawn = picture_bytes(draw(chosen.name, found), suffix)
        selection.store.disk.deliver(output, drawn)
        say(f"Wrote {output}.")
    if as_json:
        print_json(as_tree(chosen.name, found))
    else:
        path = "optimizer.lr" if len(names) == 1 else f"{chosen.name}.optimizer.lr"
        stdout().file.write(as_text(chosen.name, path, chosen.settings, found))
    return 0
