"""The table on a terminal, fitted to its width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.cli.console import output
from ablate.evidence.gather import Table
from ablate.report.column import Cells
from ablate.report.columns import ArgumentError, available, data_keys, default_keys, select_columns
from ablate.report.document import Document
from ablate.report.formats import FORMATS, checked, rendered

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ablate.cli.options import Layout

STYLES = {"helps": "green", "hurts": "red", "unstable": "yellow", "no difference": "yellow"}

GAP = 2
"""Characters between columns."""

LEAST_TEXT = 12
"""Characters of a description below which it is folded, not cut."""

MOST_OF_A_WORD = (12, 8)
"""Characters of a word of text that stay together in a narrow column, and in a very narrow one."""


def show(tables: Sequence[Table], format: str, layout: Layout) -> None:
    """Print the table of one study or several on stdout; ``text`` is fitted to a terminal. Raises ValueError for
    unknown columns, and for studies that cannot be combined.
    """
    with flags_named():
        document = document_of(tables, format, layout)
        style = layout.look
        if format == "text" and output().is_terminal and style.caption is None is style.label:
            show_table(document, output())
        else:
            output().file.write(rendered(document, format).decode())


def document_of(tables: Sequence[Table], format: str, layout: Layout) -> Document:
    """What to show. Raises ArgumentError."""
    data, style = FORMATS[checked(format)].data, layout.look
    if len(tables) > 1:
        from ablate.report.several import several

        return several(tables, layout.names, layout.sort, data=data, notes=layout.notes, style=style)
    names = layout.names or (data_keys(tables[0]) if data else None)
    table, chosen = select_columns(tables[0], names, layout.sort)
    return Document(table=table, columns=chosen, notes=layout.notes, style=style)


def filled(table: Table, layout: Layout) -> Layout:
    """The layout with the default columns that have a value in this table, unless columns are chosen."""
    if layout.columns is not None:
        return layout
    known = available(table)
    keys = [key for key in default_keys(table) if any(known[key].value(row) not in (None, "") for row in table.rows)]
    return replace(layout, columns=",".join(keys))


def show_table(document: Document, console: Console) -> None:
    """Print the table and its notes, fitted to the width of the console."""
    from rich.text import Text

    console.print(in_room(document, console.width))
    for note in document.lines():
        console.print(Text(note, "dim"))
    if (second := document.second()) is not None:
        console.print(drawn(second.cells, console.width))
        for note in second.lines:
            console.print(Text(note, "dim"))


@contextmanager
def flags_named() -> Iterator[None]:
    """Names a wrong argument as the command line does: ``--columns (=x)``."""
    try:
        yield
    except ArgumentError as error:
        raise ValueError(f"--{error}") from None


def in_room(document: Document, room: int) -> RenderableType:
    """The table with as much text as fits on one line per row: abbreviated, then with cut descriptions; otherwise on
    several lines.
    """
    full = document.cells()
    short, shorter = (document.narrow(coarse=coarse).cells() for coarse in (False, True))
    for content in (full, short, shorter):
        if excess(content, room) <= 0:
            return drawn(content, room)
    place = next((i for i, title in enumerate(full.titles) if title == "Description"), None)
    cut = shorter if place is None else clipped(shorter, place, excess(shorter, room))
    if cut is not None and excess(cut, room) <= 0:
        return drawn(cut, room)
    return drawn(shorter, room, full)


def excess(content: Cells, room: int) -> int:
    """The number of characters by which the rows are too long; titles may break at spaces."""
    return sum(line_widths(content)) + GAP * len(content.titles) - room


def line_widths(content: Cells) -> list[int]:
    """The width of each column if only titles break."""
    from rich.cells import cell_len

    return [
        max(map(cell_len, (*title.split(), *(row[i] for row in content.rows))), default=0)
        for i, title in enumerate(content.titles)
    ]


def clipped(content: Cells, place: int, over: int) -> Cells | None:
    """The cells with one column of text cut by ``over`` characters; None if too little of it would be left."""
    from rich.cells import cell_len, set_cell_size

    width = line_widths(content)[place] - over
    if width < LEAST_TEXT:
        return None

    def cut(text: str) -> str:
        return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"

    return content._replace(
        rows=[[cut(text) if i == place else text for i, text in enumerate(row)] for row in content.rows]
    )


def drawn(content: Cells, room: int, whole: Cells | None = None) -> RenderableType:
    """The cells as a table of at most ``room`` characters: text folds, numbers break at spaces only.

    If that is still too wide, a block per row, with the cells of ``whole`` if given.
    """
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    widths = next((found for most in MOST_OF_A_WORD if (found := fitted(content, room, most))), None)
    if widths is None:
        return blocks(whole or content)
    grid = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title, alignment, width in zip(content.titles, content.alignments, widths, strict=True):
        grid.add_column(Text(title), justify=alignment, overflow="fold", width=width)
    for i, row in enumerate(content.rows):
        if i in content.breaks:
            grid.add_section()
        look = ("bold" if (i, j) in content.bold else STYLES.get(text, "") for j, text in enumerate(row))
        grid.add_row(*(Text(text, style) for text, style in zip(row, look, strict=True)))
    return grid


def fitted(content: Cells, room: int, most: int) -> list[int] | None:
    """A width for each column, in characters; None if they do not fit. The column with the most room shrinks first.

    ``most`` characters of a word of text stay together; of a number, all. Where a line for each row is enough, only
    titles give.
    """
    from rich.cells import cell_len

    texts = list(zip(content.titles, *content.rows, strict=True))
    widths = [max(map(cell_len, column)) for column in texts]
    least = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in texts]
    for i, alignment in enumerate(content.alignments):
        if alignment == "left":
            least[i] = min(least[i], most)
    if excess(content, room) <= 0:
        least = line_widths(content)
    over = sum(widths) + GAP * len(widths) - room
    while over > 0:
        i = max(range(len(widths)), key=lambda i: widths[i] - least[i])
        if widths[i] <= least[i]:
            return None
        widths[i] -= 1
        over -= 1
    return widths


def blocks(content: Cells) -> RenderableType:
    """A block of lines for each row."""
    from rich.console import Group
    from rich.text import Text

    lines = []
    for i, row in enumerate(content.rows):
        if i:
            lines.append(Text(""))
        lines.append(Text(row[0] if row else "", "bold"))
        for title, text in zip(content.titles[1:], row[1:], strict=True):
            if text:
                lines.append(Text(f"  {title}: ").append(text, STYLES.get(text, "")))
    lines.append(Text(""))
    return Group(*lines)
