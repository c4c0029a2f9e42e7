"""``ablate catalog``: what a recipe can name, by kind; a name prints its card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ablate.registry import Entry


def catalog(
    word: Annotated[
        str | None, typer.Argument(metavar="[WORD]", help="A name, a kind, or part of either.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="All cards, as a page of Markdown.")] = False,
) -> int:
    """List what recipes can name; with a name, print its card."""
    from ablate.cli.console import output
    from ablate.registry import KINDS, entries, suggestion
    from ablate.registry.described import described

    found = entries()
    if word is not None:
        exact = [entry for entry in found if word in (entry.name, entry.kind)]
        found = exact or [entry for entry in found if word.lower() in f"{entry.name} {entry.card.summary}".lower()]
        if not found:
            near = suggestion(word, [*KINDS, *(entry.name for entry in entries())])
            raise ValueError(
                f"catalog (={word}) finds nothing."
                + (f" Did you mean '{near}'?" if near else " 'ablate catalog' lists everything.")
            )
    if as_json and markdown:
        raise ValueError("--json and --markdown are two forms of one list. Keep one of them.")
    if markdown:
        from ablate.report.catalogue import as_page

        typer.echo(as_page(found), nl=False)
        return 0
    if as_json:
        output().print_json(json.dumps([described(entry) for entry in found]))
        return 0
    if word is not None and all(entry.name == word for entry in found):
        for entry in found:
            show_card(entry)
        return 0
    show_list(found)
    return 0


def show_list(found: list[Entry]) -> None:
    """One line an entry, by kind."""
    from rich.table import Table

    from ablate.cli.console import output

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Kind", "Name", "What it is"):
        grid.add_column(title)
    kind = ""
    for entry in found:
        grid.add_row(entry.kind if entry.kind != kind else "", entry.name, entry.card.summary)
        kind = entry.kind
    output().print(grid)


def show_card(entry: Entry) -> None:
    """All that is known of one entry."""
    from rich.table import Table
    from rich.text import Text

    from ablate.cli.console import output
    from ablate.registry.described import meaning, settings_of

    console = output()
    console.print(Text.assemble((entry.name, "bold"), f" ({entry.kind}, version {entry.version})"))
    console.print(Text(entry.card.summary))
    for title in ("source", "helps", "costs", "interacts"):
        text = getattr(entry.card, title)
        if text:
            console.print(Text.assemble((f"{title}: ", "bold"), text))
    rows = settings_of(entry)
    if rows:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("Setting", "Default", "Meaning"):
            grid.add_column(title, overflow="fold")
        for row in rows:
            default = row["default"]
            grid.add_row(
                *(
                    Text(text)
                    for text in (
                        row["name"],
                        default if isinstance(default, str) else json.dumps(default),
                        meaning(row),
                    )
                )
            )
        console.print(grid)
