"""``ablate diff``: the settings that differ between two variants."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ablate.cli.flags import Design, RecipePath, Scale, Seeds, Sets, read


def diff(
    recipe: RecipePath,
    a: Annotated[str, typer.Argument(metavar="A", help="A variant.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    seeds: Seeds = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Show the settings that differ between two variants."""
    from rich.table import Table
    from rich.text import Text

    from ablate.cli.console import output
    from ablate.recipe.diff import differences
    from ablate.registry import suggestion

    study = read(recipe, seeds, None, design, sets, scale, need_files=False)
    names = [variant.name for variant in study.variants]
    for name in (a, b):
        if name not in names:
            near = suggestion(name, names)
            raise ValueError(
                f"variant (={name}) is not in {recipe}. "
                + (f"Did you mean '{near}'?" if near else f"It has {', '.join(names)}.")
            )
    found = differences(study.variant(a).settings, study.variant(b).settings)
    if as_json:
        output().print_json(json.dumps([{"path": path, a: first, b: second} for path, first, second in found]))
        return 0
    if not found:
        output().print(f"{a} and {b} have the same settings.")
        return 0
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Setting", a, b):
        grid.add_column(Text(title), overflow="fold")
    for path, first, second in found:
        grid.add_row(*(Text(text) for text in (path, shown(first), shown(second))))
    output().print(grid)
    return 0


def shown(value: Any) -> str:
    """A value as a recipe would write it on one line; a dash where there is none."""
    from ablate.recipe.node import show

    return "–" if value is None else show(value, limit=1000)
