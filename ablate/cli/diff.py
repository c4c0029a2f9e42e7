"""``ablate diff``: the settings that differ between two variants."""

from __future__ import annotations

from typing import Annotated

from ablate.cli.console import grid_of, output, print_json
from ablate.cli.options import Json, RecipePath, Selection, Without, argument


def diff(
    recipe: RecipePath,
    a: Annotated[str, argument("VARIANT_A", "A variant.")],
    b: Annotated[str, argument("VARIANT_B", "The variant to compare it with.")],
    selection: Annotated[Selection, Without("only", "runs")],
    as_json: Json = False,
) -> int:
    """Show the settings that differ between two variants.

    Example: ablate diff digits.yaml net1 net3
    """
    from ablate.recipe.settings import differences
    from ablate.recipe.shape import listed
    from ablate.report.wording import setting_text

    study = selection.read(recipe, need_files=False)
    names = [variant.name for variant in study.variants]
    for name in (a, b):
        if name not in names:
            raise ValueError(f"variant (={name}) is not defined in {recipe}.{listed(names)}")
    found = differences(study.variant(a).settings, study.variant(b).settings)
    if as_json:
        print_json([{"path": path, a: first, b: second} for path, first, second in found])
    elif not found:
        output().print(f"{a} and {b} have the same settings.")
    else:
        grid = grid_of("Setting", a, b, overflow="fold")
        for path, first, second in found:
            grid.add_row(path, setting_text(first), setting_text(second))
        output().print(grid)
    return 0
