"""``ablate catalog``: everything that a recipe can use, by kind; a name prints its description."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import grid_of, output, print_json
from ablate.cli.options import Json, argument

if TYPE_CHECKING:
    from ablate.registry import Entry


def names() -> list[str]:
    """Kinds and names, for shell completion."""
    from ablate.registry import KINDS, entries

    return [*KINDS, *(entry.name for entry in entries())]


def catalog(
    word: Annotated[
        str | None, argument("WORD", "Name or kind of an entry, or a word to search for.", autocompletion=names)
    ] = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the whole catalog as Markdown.")] = False,
) -> int:
    """List everything that a recipe can use, describe one entry, or search for a word.

    Example: ablate catalog dropout
    """
    from ablate.recipe.shape import did_you_mean
    from ablate.registry import entries
    from ablate.registry.described import described

    found = entries()
    if word is not None:
        exact = [entry for entry in found if word in (entry.name, entry.kind)]
        found = exact or [entry for entry in found if word.lower() in f"{entry.name} {entry.card.summary}".lower()]
        if not found:
            hint = did_you_mean(word, names()) or " Run 'ablate catalog' to list all entries."
            raise ValueError(f"WORD (={word}) matches no catalog entry.{hint}")
    if as_json and markdown:
        raise ValueError("--json and --markdown cannot be combined. Remove one of them.")
    if markdown:
        from ablate.report.catalogue import as_page

        typer.echo(as_page(found), nl=False)
    elif as_json:
        print_json([described(entry) for entry in found])
    elif word is not None and all(entry.name == word for entry in found):
        for entry in found:
            show_card(entry)
    else:
        show_list(found)
    return 0


def show_list(found: list[Entry]) -> None:
    """One line per entry, by kind."""

    grid = grid_of("Kind", "Name", "Description")
    kind = ""
    for entry in found:
        grid.add_row(entry.kind if entry.kind != kind else "", entry.name, entry.card.summary)
        kind = entry.kind
    output().print(grid)


def show_card(entry: Entry) -> None:
    """Everything about one entry."""
    from rich.text import Text

    from ablate.registry.described import meaning, settings_of

    console = output()
    console.print(Text.assemble((entry.name, "bold"), f" ({entry.kind}, version {entry.version})"))
    console.print(entry.card.summary)
    for title in ("source", "helps", "costs", "interacts"):
        if text := getattr(entry.card, title):
            console.print(Text.assemble((f"{title}: ", "bold"), text))
    if rows := settings_of(entry):
        grid = grid_of("Setting", "Default", "Meaning", overflow="fold")
        for row in rows:
            default = row["default"] if isinstance(row["default"], str) else json.dumps(row["default"])
            grid.add_row(row["name"], default, meaning(row))
        console.print(grid)
