"""What every format renders: a table, the columns to show, the notes below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.evidence.table import Table
    from ablate.report.column import Cells, Column
    from ablate.report.trick_effects import Second


PARTS = ("pm", "bold", "stars", "groups")
"""The parts of ``paper``."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a table is shown.

    ``pm``: ``0.091 ± 0.008`` in the cells of losses and metrics, without a column of standard deviations. ``bold``: the
    best results of the compared metric (`Row.best`). ``stars``: marks of adjusted p-values. ``groups``: rules between
    rows with different parents. ``caption`` and ``label`` are those of LaTeX.
    """

    pm: bool = False
    bold: bool = False
    stars: bool = False
    groups: bool = False
    caption: str | None = None
    label: str | None = None

    @classmethod
    def of(cls, text: str | None, caption: str | None = None, label: str | None = None) -> Style:
        """The style of a comma-separated list of `PARTS`, or ``paper`` for all of them. Raises ValueError."""
        from ablate.recipe.shape import did_you_mean
        from ablate.report.columns import ArgumentError

        names = [part.strip() for part in (text or "").split(",") if part.strip()]
        for name in names:
            if name not in (*PARTS, "paper"):
                known = ", ".join(("paper", *PARTS))
                hint = did_you_mean(name, ("paper", *PARTS))
                raise ArgumentError(f"style (={name}) must be one or several of {known}.{hint}")
        chosen = {name: True for name in (PARTS if "paper" in names else names)}
        return cls(**chosen, caption=caption, label=label)


PLAIN = Style()


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
