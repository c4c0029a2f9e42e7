"""The report as Markdown, its pictures in a folder beside it, as notebooks are exported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from urllib.parse import quote

from ablate.printable import visible
from ablate.report.column import Cells
from ablate.report.figure import drawing, picture_bytes
from ablate.report.formats.markdown import block, escape
from ablate.report.page.contents import Page
from ablate.report.page.provenance import provenance
from ablate.report.page.sentences import sentences


def render(page: Page, name: str) -> Mapping[str, bytes]:
    """The pictures, and the text under ``name``, last."""
    folder = f"{PurePath(name).stem}_files"
    with drawing():
        files = {f"{folder}/{figure}.svg": picture_bytes(drawn, "svg") for figure, drawn in page.figures()}
    figures = [PurePath(path).stem for path in files]
    parts = [f"# {escape(page.document.title)}\n"]
    parts += [f"{escape(page.document.description)}\n"] if page.document.description else []
    parts += [f"> {escape(line)}\n" for line in page.state()]
    said = (f"**{escape(one.variant)}**{escape(str(one).removeprefix(one.variant))}" for one in sentences(page.table))
    parts += ["## Verdicts\n", bullets(list(said))]
    parts += ["## Table\n", block(page.document.cells(), page.document.lines())]
    if (second := page.document.second()) is not None:
        parts.append(block(second.cells, second.lines))
    for figure in figures:
        link = quote(f"{folder}/{figure}.svg")
        parts += [f"## {escape(page.heading(figure))}\n", f"![{escape(page.caption(figure))}]({link})\n"]
    parts += small("Settings that differ", page.settings(), [])
    if any(page.diagnosis.values()):
        parts.append("## Diagnosis\n")
        for variant, lines in page.diagnosis.items():
            parts += [f"**{escape(variant)}**\n", bullets(list(map(escape, lines)))] if lines else []
    cells, line = page.costs()
    parts += small("Cost", cells, [line])
    parts += ["## Provenance\n", bullets([f"{term}: {escape(text)}" for term, text in provenance(page)])]
    if text := visible(page.study.recipe.text):
        fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall(r"`+", text)), 3)
        parts += ["## Recipe\n", f"{fence}yaml\n{text.rstrip()}\n{fence}\n"]
    return {**files, name: "\n".join(parts).encode()}


def bullets(lines: Sequence[str]) -> str:
    """A list of escaped lines."""
    return "".join(f"- {line}\n" for line in lines)


def small(title: str, cells: Cells, lines: Sequence[str]) -> list[str]:
    """A section with a table; nothing if it is empty."""
    return [f"## {title}\n", block(cells, lines)] if cells.rows else []
