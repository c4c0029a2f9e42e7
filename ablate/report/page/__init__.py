"""The report of a study as a file that can be sent: a page without any other file or network, Markdown or a PDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.report.page.contents import Page

__all__ = ["FORMATS", "Page", "PageFormat", "contents", "page_format"]


@dataclass(frozen=True)
class PageFormat:
    """A format of the report. ``render`` takes the file's name and returns the files: path beside it → contents."""

    suffixes: tuple[str, ...]
    render: Callable[[Page, str], Mapping[str, bytes]]


def _html(page: Page, name: str) -> Mapping[str, bytes]:
    from ablate.report.page.html import render

    return {name: render(page).encode()}


def _markdown(page: Page, name: str) -> Mapping[str, bytes]:
    from ablate.report.page.markdown import render

    return render(page, name)


def _pdf(page: Page, name: str) -> Mapping[str, bytes]:
    from ablate.report.page.pdf import render

    return {name: render(page)}


FORMATS = {
    "html": PageFormat((".html", ".htm"), _html),
    "md": PageFormat((".md", ".markdown"), _markdown),
    "pdf": PageFormat((".pdf",), _pdf),
}


def page_format(path: Path, format: str | None = None) -> str:
    """The format that is asked for, else that of the file's suffix. Raises ArgumentError for an unknown one."""
    from ablate.report.columns import ArgumentError
    from ablate.report.formats import checked

    if format is not None:
        return checked(format, list(FORMATS))
    for name, known in FORMATS.items():
        if path.suffix.lower() in known.suffixes:
            return name
    suffixes = ", ".join(known.suffixes[0] for known in FORMATS.values())
    raise ArgumentError(f"output (={path}) must end in one of {suffixes}, or pass --format.")


def contents(page: Page, format: str, name: str) -> Mapping[str, bytes]:
    """The files of a report whose main file has this name, which comes last: path beside it → contents. Equal studies
    give equal bytes.
    """
    return FORMATS[format].render(page, name)
