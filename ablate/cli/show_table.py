"""The table on a terminal; Markdown where stdout is a file or a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.cli.console import output
from ablate.evidence.rows import Table
from ablate.report.columns import Cells, cells, select_columns
from ablate.report.formats import FORMATS, render
from ablate.report.summary import summary

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES = {"helps": "green", "hurts": "red", "unstable": "yellow", "no difference": "yellow"}

GAP = 2
"""Characters between columns."""

MOST_OF_A_WORD = (12, 8)
"""Characters of a word of text that stay together in a narrow column, and in a very narrow one."""


def show_table(
    table: Table, columns: Sequence[str] | None = None, sort: str | None = None, console: Console | None = None
) -> None:
    """Print the table with its sentences. Raises ValueError for unknown columns."""
    console = console or output()
    if not console.is_terminal:
        console.file.write(render(table, "md", columns, sort))
        return
    table, chosen = select_columns(table, columns, sort)
    console.print(drawn(cells(table, chosen), console.width))
    for sentence in summary(table, [column.key for column in chosen]):
        from rich.text import Text

        console.print(Text(sentence, "dim"))


def show_as(table: Table, format: str, columns: Sequence[str] | None = None, sort: str | None = None) -> None:
    """Print the table in a format on stdout; ``text`` draws it on a terminal. Raises ValueError for unknown formats and columns."""
    check_format(format)
    if format == "text":
        show_table(table, columns, sort)
    else:
        output().file.write(render(table, format, columns, sort))


def check_format(format: str) -> None:
    """Raises ValueError for a format that there is not, before anything is trained for it."""
    known = ("text", *FORMATS)
    if format not in known:
        raise ValueError(f"--format (={format}) must be one of {', '.join(known)}.")


def drawn(content: Cells, room: int) -> RenderableType:
    """The cells as a table ``room`` characters wide at most: text folds, numbers break at spaces only; a block per row where that is too wide still."""
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    widths = next((found for most in MOST_OF_A_WORD if (found := fitted(content, room, most))), None)
    if widths is None:
        return blocks(content)
    grid = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title, alignment, width in zip(content.titles, content.alignments, widths, strict=True):
        grid.add_column(Text(title), justify=alignment, overflow="fold", width=width)
    for row in content.rows:
        grid.add_row(*(Text(text, STYLES.get(text, "")) for text in row))
    return grid


def fitted(content: Cells, room: int, most: int) -> list[int] | None:
    """A width for each column, in characters; None where they cannot fit. The column with most to give gives first.

    ``most`` characters of a word of text stay together; of a number, all.
    """
    from rich.cells import cell_len

    texts = list(zip(content.titles, *content.rows, strict=True))
    widths = [max(map(cell_len, column)) for column in texts]
    least = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in texts]
    for i, alignment in enumerate(content.alignments):
        if alignment == "left":
            least[i] = min(least[i], most)
    excess = sum(widths) + GAP * len(widths) - room
    while excess > 0:
        i = max(range(len(widths)), key=lambda i: widths[i] - least[i])
        if widths[i] <= least[i]:
            return None
        widths[i] -= 1
        excess -= 1
    return widths


def blocks(content: Cells) -> RenderableType:
    """A block of lines for each row."""
    from rich.console import Group
    from rich.text import Text

    lines = []
    for row in content.rows:
        lines.append(Text(row[0] if row else "", "bold"))
        for title, text in zip(content.titles[1:], row[1:], strict=True):
            if text:
                lines.append(Text(f"  {title}: ").append(text, STYLES.get(text, "")))
    return Group(*lines)
