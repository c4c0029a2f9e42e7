"""``ablate catalog``: what a recipe can name, by kind; a name prints its card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ablate.registry import Entry


def catalog(
    word: Annotated[
        str | None, typer.Argument(metavar="[WORD]", help="A name, a kind, or part of either.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """List what recipes can name; with a name, print its card."""
    from ablate.cli.console import output
    from ablate.registry import KINDS, entries, suggestion

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
    if as_json:
        output().print_json(json.dumps([described(entry) for entry in found]))
        return 0
    if word is not None and all(entry.name == word for entry in found):
        for entry in found:
            show_card(entry)
        return 0
    show_list(found)
    return 0


def described(entry: Entry) -> dict[str, Any]:
    """An entry in plain JSON values."""
    from dataclasses import asdict

    return {
        "kind": entry.kind,
        "name": entry.name,
        "version": entry.version,
        "provider": entry.provider,
        "card": asdict(entry.card),
        "settings": settings_of(entry),
    }


def settings_of(entry: Entry) -> list[dict[str, Any]]:
    """The settings of an entry: name, default (``required`` where there is none), meaning."""
    rows = []
    for name, field in entry.settings.model_fields.items():
        default = "required" if field.is_required() else plain(field.get_default(call_default_factory=True))
        rows.append({"name": name, "default": default, "description": field.description or ""})
    return rows


def plain(value: Any) -> Any:
    """A default as a recipe would write it."""
    if hasattr(value, "dump"):
        return value.dump()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


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
                        row["description"],
                    )
                )
            )
        console.print(grid)
