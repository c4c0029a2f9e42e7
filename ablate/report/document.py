"""What every format renders: a table, the columns to show, the notes below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.evidence.table import Table
    from ablate.report.column import Cells, Column
    from ablate.report.trick_effects import Second


@dataclass(frozen=True, kw_only=True)
class Document:
    """A table in its order and its chosen columns. ``notes``: all notes of each variant."""

    table: Table
    columns: Sequence[Column]
    notes: bool = False

    @property
    def title(self) -> str:
        from ablate.report.wording import plain

        return plain(self.table.study)

    @property
    def description(self) -> str:
        from ablate.report.wording import plain

        return plain(self.table.description)

    def narrow(self) -> Document:
        """The same in fewer characters: a page is narrower than a screen."""
        from ablate.report.column import narrow

        return replace(self, columns=narrow(self.table, self.columns, coarse=True))

    def cells(self) -> Cells:
        """Titles and rows as text."""
        from ablate.report.column import cells

        return cells(self.table, self.columns)

    def lines(self) -> list[str]:
        """The legend and the notes."""
        from ablate.report.summary import summary

        return summary(self.table, [column.key for column in self.columns], details=self.notes)

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
