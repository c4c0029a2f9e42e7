"""The tables of several studies in one: the same columns, and a heading above the rows of each study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ablate.evidence.table import Table
from ablate.report.column import Cells, Column
from ablate.report.columns import ArgumentError, available, default_keys, find, select_columns
from ablate.report.document import Document
from ablate.report.style import PLAIN, Style
from ablate.report.trick_effects import Second


@dataclass(frozen=True, kw_only=True)
class Several(Document):
    """The documents of several studies with the same columns. ``table`` and ``columns`` are those of the first.

    Each study keeps its own statistics: verdicts are corrected, and best results chosen, within a study.
    """

    documents: tuple[Document, ...]

    @property
    def parts(self) -> tuple[Document, ...]:
        return self.documents

    @property
    def title(self) -> str:
        return ", ".join(one.title for one in self.documents)

    @property
    def description(self) -> str:
        return ""

    def narrow(self, *, coarse: bool = True) -> Document:
        return replace(self, documents=tuple(one.narrow(coarse=coarse) for one in self.documents))

    def without_bold(self) -> Document:
        return replace(self, documents=tuple(one.without_bold() for one in self.documents))

    def cells(self) -> Cells:
        """A row with the name of each study, in bold, and the study's rows below."""
        rows: list[list[str]] = []
        bold: set[tuple[int, int]] = set()
        breaks: set[int] = set()
        found = [one.cells() for one in self.documents]
        for document, each in zip(self.documents, found, strict=True):
            breaks.add(len(rows))
            bold.add((len(rows), 0))
            rows.append([document.title, *[""] * (len(each.titles) - 1)])
            bold |= {(len(rows) + row, column) for row, column in each.bold}
            breaks |= {len(rows) + row for row in each.breaks}
            rows += each.rows
        titles = [max(same, key=len) for same in zip(*(each.titles for each in found), strict=True)]
        return Cells(titles, rows, found[0].alignments, frozenset(bold), frozenset(breaks - {0}))

    def lines(self) -> list[str]:
        """The lines of all studies: those that all share once, the others with the study's name."""
        each = [one.lines() for one in self.documents]
        common = [line for line in each[0] if all(line in lines for lines in each)]
        own = [
            f"{one.title}: {line}"
            for one, lines in zip(self.documents, each, strict=True)
            for line in lines
            if line not in common
        ]
        hidden = [one.title for one in self.documents if one.second() is not None]
        tricks = [f"The effects of tricks are in the studies' own tables: {', '.join(hidden)}."] if hidden else []
        return [*common, *own, *tricks]

    def second(self) -> Second | None:
        return None


def several(
    tables: Sequence[Table],
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    *,
    data: bool = False,
    notes: bool = False,
    style: Style = PLAIN,
) -> Several:
    """The document of several tables; a column that a study lacks is empty there. ``data``: all columns.

    Raises ValueError if two tables are of the same study or compare different metrics, and if no table has a column.
    """
    check(tables)
    known = [available(table) for table in tables]
    if columns is not None:
        keys = [named(known, name) for name in columns]
    else:
        every = [[key for key in one if key not in ("spread", "published")] for one in known]
        keys = list(dict.fromkeys(key for one in (every if data else map(default_keys, tables)) for key in one))
    documents = []
    for table, own in zip(tables, known, strict=True):
        ordered, _ = select_columns(table, [key for key in keys if key in own], sort)
        own = available(ordered)
        chosen = [own[key] if key in own else empty(next(one[key] for one in known if key in one)) for key in keys]
        documents.append(Document(table=ordered, columns=chosen, notes=notes, style=style))
    first = documents[0]
    return Several(table=first.table, columns=first.columns, notes=notes, style=style, documents=tuple(documents))


def check(tables: Sequence[Table]) -> None:
    """Raises ValueError for tables that cannot be combined."""
    names = [table.study for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"study (={name}) is given twice. Pass each study once.")
    first = tables[0]
    for table in tables[1:]:
        mine, theirs = first.compare, table.compare
        if (mine.metric, mine.better, mine.at) != (theirs.metric, theirs.better, theirs.at):
            raise ValueError(
                f"studies in one table must compare the same metric, but {first.study} compares "
                f"{mine.metric} ({mine.better} is better, {mine.at} epoch) and {table.study} {theirs.metric} "
                f"({theirs.better} is better, {theirs.at} epoch). Use --metric, or --set compare.at=last."
            )


def named(known: Sequence[dict[str, Column]], name: str) -> str:
    """The key of a column that one of the tables has. Raises ValueError."""
    for columns in known:
        try:
            return find(columns, name, "columns")
        except ArgumentError:
            continue
    return find(known[0], name, "columns")


def empty(column: Column) -> Column:
    """A column without values."""
    return replace(column, value=lambda row: None, texts=lambda table: [""] * len(table.rows))
