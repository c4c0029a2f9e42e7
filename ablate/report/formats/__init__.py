"""The output formats of a table. Each file of this folder is one, with its `Format` as ``FORMAT``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format
from ablate.report.style import PLAIN, Style

if TYPE_CHECKING:
    from ablate.evidence.table import Table

_modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _modules}
"""All formats by name."""

PRINTED = [name for name, format in FORMATS.items() if not format.binary]
"""The formats that a terminal can show."""

SUFFIXES = [format.suffixes[0] for format in FORMATS.values()]
"""The usual suffix of each format."""


def contents(
    table: Table,
    format: str,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    *,
    notes: bool = False,
    style: Style = PLAIN,
) -> bytes:
    """The table as a file's contents.

    ``columns`` are keys or titles, by default the usual columns, or every value in a data format. ``json`` always has
    all keys. Raises ValueError for an unknown format, column or sort key, and for a caption outside LaTeX.
    """
    from ablate.report.columns import data_keys, select_columns

    data = FORMATS[checked(format, list(FORMATS))].data
    table, chosen = select_columns(table, columns or (data_keys(table) if data else None), sort)
    return rendered(Document(table=table, columns=chosen, notes=notes, style=style), format)


def rendered(document: Document, format: str) -> bytes:
    """A document as a file's contents. Raises ValueError for an unknown format, and for a caption outside LaTeX."""
    from ablate.report.columns import ArgumentError

    known = FORMATS[checked(format, list(FORMATS))]
    for name in ("caption", "label"):
        if format != "tex" and (given := getattr(document.style, name)) is not None:
            raise ArgumentError(f"{name} (={given}) requires the format tex, not {format}.")
    text = known.render(document)
    return text if isinstance(text, bytes) else text.encode()


def render(
    table: Table,
    format: str,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    *,
    notes: bool = False,
    style: Style = PLAIN,
) -> str:
    """The table as text that ends with a newline. See `contents`."""
    return contents(table, checked(format), columns, sort, notes=notes, style=style).decode()


def checked(format: str, known: Sequence[str] = PRINTED) -> str:
    """The format. Raises ValueError if it is unknown."""
    if format not in known:
        from ablate.recipe.shape import did_you_mean
        from ablate.report.columns import ArgumentError

        raise ArgumentError(f"format (={format}) must be one of {', '.join(known)}.{did_you_mean(format, known)}")
    return format


def format_from_suffix(path: Path | str) -> str:
    """The format of a file's name. Raises ValueError if no format has its suffix."""
    suffix = Path(path).suffix.lower()
    for format in FORMATS.values():
        if suffix in format.suffixes:
            return format.name
    from ablate.report.columns import ArgumentError

    raise ArgumentError(f"output (={path}) must end in one of {', '.join(SUFFIXES)}.")
