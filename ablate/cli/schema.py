"""``ablate schema``: the JSON schema of recipes, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.console import say
from ablate.cli.options import check_output


def schema(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Output file, or - for stdout.")
    ] = "ablate.schema.json",
) -> int:
    """Write the JSON schema of recipes, for completion and validation in editors.

    Example: ablate schema -o recipe.schema.json
    """
    from ablate.recipe.schema import recipe_schema
    from ablate.store.store import Store

    text = json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"
    if output == "-":
        typer.echo(text, nl=False)
        return 0
    check_output(Path(output))
    Store(Path()).disk.deliver(Path(output), text.encode())
    say(f"Wrote {output}. To use it, start recipes with the line: # yaml-language-server: $schema={output}")
    return 0
