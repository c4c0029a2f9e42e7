"""``ablate examples``: the validation samples on which two variants differ most."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import output as stdout
from ablate.cli.console import say
from ablate.cli.options import Format, RecipePath, Selection, Without, argument, check_output, option


def examples(
    recipe: RecipePath,
    a: Annotated[str, argument("VARIANT_A", "A variant.")],
    b: Annotated[str, argument("VARIANT_B", "The variant to compare it with.")],
    selection: Annotated[Selection, Without("only")],
    top: Annotated[int, typer.Option(metavar="NUMBER", help="Number of samples to show.", min=1)] = 20,
    metric: Annotated[
        str | None, option("METRIC", "Metric to compare. Defaults to compare.metric of the recipe.")
    ] = None,
    format: Format = "text",
    output: Annotated[
        Path | None,
        option("FILE", "Draw the samples, which must be images, into a .png, .svg or .pdf file.", "--output", "-o"),
    ] = None,
) -> int:
    """Show the validation samples on which two variants differ most, over their finished seeds.

    Example: ablate examples digits.yaml net1 net2 --top 10
    """
    from ablate.cli.show_table import flags_named
    from ablate.evidence.examples import most_different
    from ablate.execution.predictions import runs_of
    from ablate.recipe.shape import available
    from ablate.report.examples import render_examples
    from ablate.report.figure import picture_suffix
    from ablate.report.formats import checked
    from ablate.store.examples import load

    with flags_named():
        checked(format)
        suffix = None if output is None else picture_suffix(output)
    if a == b:
        raise ValueError(f"VARIANT_B (={b}) must be another variant than VARIANT_A.")
    plan, store = selection.plan(recipe, metric=metric, need_files=output is not None), selection.store
    names = [variant.name for variant in plan.recipe.variants]
    for name in (a, b):
        if name not in names:
            raise ValueError(f"variant (={name}) is not defined in {recipe}.{available(name, names)}")
    found = most_different(plan.record(), a, b, partial(load, store), top)
    if output is None or suffix is None:
        stdout().file.write(render_examples(found, format))
    else:
        from ablate.report.draw_examples import examples_picture

        check_output(output)
        store.disk.deliver(output, examples_picture(found, runs_of(plan, a)[0], plan.recipe, store, suffix))
        say(f"Wrote {output}.")
    selection.mention_last(plan.recipe, "examples")
    return 0
