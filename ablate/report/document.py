"""What every format renders: a table, the columns to show, the notes below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablate.report.style import PLAIN, Style

if TYPE_CHECKING:
    from ablate.evidence.table import Table
    from ablate.report.column import Cells, Column
    from ablate.report.trick_effects import Second


@dataclass(frozen=True, kw_only=True)
class Document:
    """A table in its order, its chosen columns and its style. ``notes``: all notes of each variant."""

    table: Table
    columns: Sequence[Column]
    notes: bool = False
    style: Style = PLAIN

    @property
    def title(self) -> str:
        from ablate.report.wording import plain

        return plain(self.table.study)

    @property
    def description(self) -> str:
        from ablate.report.wording import plain

        return plain(self.table.description)

    @property
    def parts(self) -> tuple[Document, ...]:
        """The documents of the studies that it shows."""
        return (self,)

    def narrow(self, *, coarse: bool = True) -> Document:
        """The same in fewer characters: a page is narrower than a screen."""
        from ablate.report.column import narrow

        return replace(self, columns=narrow(self.table, self.columns, coarse=coarse))

    def without_bold(self) -> Document:
        """The same for a format that has no bold."""
        return replace(self, style=replace(self.style, bold=False))

    def cells(self) -> Cells:
        """Titles and rows as text."""
        from ablate.report.column import cells
        from ablate.report.paper import bold_cells, parent_breaks, styled

        columns = styled(self.table, self.columns, self.style)
        found = cells(self.table, columns)
        bold = bold_cells(self.table, columns) if self.style.bold else found.bold
        return found._replace(bold=bold, breaks=parent_breaks(self.table) if self.style.groups else found.breaks)

    def lines(self) -> list[str]:
        """The legend and the notes."""
        from ablate.report.paper import legend
        from ablate.report.summary import summary

        keys = [column.key for column in self.columns] + (["spread"] if self.style.pm else [])
        lines = summary(self.table, keys, details=self.notes)
        return [*lines, *legend(self.table, self.columns, self.style)]

    def second(self) -> Second | None:
        """The table of the effects of tricks, if the design has one."""
        from ablate.report.trick_effects import second_table

        return second_table(self.table)


@dataclass(frozen=True)
class Format:
    """An output format: a file in ``report/formats`` with a ``FORMAT``. The first suffix is the usual one.

    ``data``: shows every value by default, not only the default columns. ``binary``: ``render`` returns bytes, which no
    terminal shows.
    """

    name: str
    suffixes: tuple[str, ...]
    render: Callable[[Document], str | bytes]
    data: bool = False
    binary: bool = False
