"""One table in the format asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ablate.evidence.table import Table
from ablate.recipe.shape import did_you_mean
from ablate.report.choosing import ArgumentError, select_columns
from ablate.report.column import cells
from ablate.report.columns import data_keys
from ablate.report.narrow import narrow
from ablate.report.summary import summary
from ablate.report.wording import plain

FORMATS = ("md", "tex", "html", "csv", "json")
SUFFIXES = {
    ".md": "md",
    ".markdown": "md",
    ".tex": "tex",
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
    ".json": "json",
}


def render(table: Table, format: str, columns: Sequence[str] | None = None, sort: str | None = None) -> str:
    """The table as text that ends with a newline.

    ``columns`` are keys or titles; unless given, ``csv`` holds every value and the formats for readers the default table. ``json`` always has all its keys.
    Raises ValueError for an unknown format, column or sort key.
    """
    if format not in FORMATS:
        raise ArgumentError(f"format (={format}) must be one of {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    names = columns or (data_keys(table) if format == "csv" else None)
    table, chosen = select_columns(table, names, sort)
    if format == "json":
        return json.dumps(table.dump(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if format == "csv":
        from ablate.report.as_csv import csv_text

        return csv_text(table, chosen)
    if format == "tex":
        # a page is narrower than a screen
        chosen = narrow(table, chosen, coarse=True)
    once = any(column.key == "spread" and column.title == "± sd" for column in chosen)
    text, sentences = cells(table, chosen), summary(table, [column.key for column in chosen], once=once)
    title, description = plain(table.study), plain(table.description)
    if format == "md":
        from ablate.report.as_markdown import markdown

        return markdown(text, sentences)
    if format == "html":
        from ablate.report.as_html import html

        return html(text, sentences, title, description)
    from ablate.report.as_latex import latex

    return latex(text, sentences, title, description)


def format_from_suffix(path: Path | str, *others: str) -> str:
    """The format that a file's name asks for. Raises ValueError where its suffix says nothing; ``others`` are suffixes that the caller takes beside ours."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ArgumentError(f"output (={path}) must end in {', '.join((*(f'.{name}' for name in FORMATS), *others))}.")
    return SUFFIXES[suffix]
