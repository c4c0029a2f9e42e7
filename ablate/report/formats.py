"""One table in the format asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ablate.evidence.table import Table
from ablate.recipe.shape import did_you_mean
from ablate.report.as_json import table_tree
from ablate.report.choosing import ArgumentError, select_columns
from ablate.report.column import cells
from ablate.report.columns import data_keys
from ablate.report.narrow import narrow
from ablate.report.summary import summary
from ablate.report.wording import plain

FORMATS = ("md", "tex", "html", "csv", "json")
"""The formats of files; ``text`` is plain text for terminals and pipes."""

SUFFIXES = {
    ".md": "md",
    ".markdown": "md",
    ".tex": "tex",
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
    ".json": "json",
}


def render(
    table: Table, format: str, columns: Sequence[str] | None = None, sort: str | None = None, *, notes: bool = False
) -> str:
    """The table as text that ends with a newline.

    ``columns`` are keys or titles; by default, ``csv`` has all columns and the formats for readers the default ones. ``json`` always has all keys.
    ``notes``: all notes of each variant, instead of a short legend. Raises ValueError for an unknown format, column or sort key.
    """
    known = ("text", *FORMATS)
    if format not in known:
        raise ArgumentError(f"format (={format}) must be one of {', '.join(known)}.{did_you_mean(format, known)}")
    names = columns or (data_keys(table) if format == "csv" else None)
    table, chosen = select_columns(table, names, sort)
    if format == "json":
        return json.dumps(table_tree(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if format == "csv":
        from ablate.report.as_csv import csv_text

        return csv_text(table, chosen)
    if format == "tex":
        # a page is narrower than a screen
        chosen = narrow(table, chosen, coarse=True)
    shown, sentences = cells(table, chosen), summary(table, [column.key for column in chosen], details=notes)
    title, description = plain(table.study), plain(table.description)
    if format == "text":
        from ablate.report.as_text import text

        return text(shown, sentences)
    if format == "md":
        from ablate.report.as_markdown import markdown

        return markdown(shown, sentences)
    if format == "html":
        from ablate.report.as_html import html

        return html(shown, sentences, title, description)
    from ablate.report.as_latex import latex

    return latex(shown, sentences, title, description)


def format_from_suffix(path: Path | str, *others: str) -> str:
    """The format of a file by its suffix. Raises ValueError for an unknown one; ``others`` are further suffixes that the caller accepts."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ArgumentError(f"output (={path}) must end in {', '.join((*(f'.{name}' for name in FORMATS), *others))}.")
    return SUFFIXES[suffix]
