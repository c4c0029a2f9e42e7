"""The report as one HTML file: no other file, no network. Tables and pictures are there without JavaScript."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from ablate.report.column import Cells
from ablate.report.figure import drawing, mark, picture_bytes
from ablate.report.formats import contents, rendered
from ablate.report.formats.html import grid, items
from ablate.report.page.contents import Page
from ablate.report.page.inline_svg import inline
from ablate.report.page.provenance import provenance
from ablate.report.page.sentences import sentences

MANY = 12
"""Notes from which on they are folded."""

TYPES = {"csv": "text/csv", "tex": "application/x-tex", "json": "application/json", "yaml": "application/yaml"}


def render(page: Page) -> str:
    """The whole file."""
    title, about, style, script = page.document.title, page.document.description, asset("page.css"), asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    sections: list[tuple[str, Callable[[Page], str]]] = [
        ("Verdicts", verdicts),
        ("Table", table),
        *((page.heading(name), lambda page, svg=svg: svg) for name, svg in pictures(page)),
        ("Settings that differ", settings),
        ("Diagnosis", diagnosis),
        ("Cost", cost),
        ("Provenance", origin),
        ("Recipe", recipe),
    ]
    parts = {name: text for name, part in sections if (text := part(page))}
    body = "".join(section(i, name, text) for i, (name, text) in enumerate(parts.items()))
    links = "".join(f'<li><a href="#section-{i}">{escape(name)}</a></li>' for i, name in enumerate(parts))
    state = "".join(f'<p class="state">{escape(line)}</p>\n' for line in page.state())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{escape(title)}</h1>\n"
        f"{f'<p>{escape(about)}</p>' if about else ''}\n{state}</header>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n{body}</main>\n<script>{script}</script>\n'
        "</body>\n</html>\n"
    )


@cache
def asset(name: str) -> str:
    """The page's style or script."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def section(number: int, title: str, text: str) -> str:
    """A section that folds."""
    head = f'<summary><h2 id="section-{number}">{escape(title)}</h2></summary>'
    return f"<details open>\n{head}\n{text}</details>\n"


def scrolled(content: str, label: str) -> str:
    """Content that scrolls sideways where it is wider than the screen, also by keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{content}</div>\n'


def verdicts(page: Page) -> str:
    """A sentence per variant."""
    lines = []
    for row, one in zip(page.table.rows, sentences(page.table), strict=True):
        kind = {"helps": "good", "hurts": "bad", "unstable": "bad"}.get(one.verdict or "", "plain")
        about = f" ({escape(one.about)})" if one.about else ""
        rest = f": {escape(one.rest)}" if one.rest else ""
        head = f'<b>{escape(one.variant)}</b>{about} <strong class="{kind}">{escape(one.predicate)}</strong>'
        lines.append(f'<li data-variant="{mark(row.variant)}">{head}{rest}.</li>\n')
    return f'<ul class="verdicts">\n{"".join(lines)}</ul>\n'


def table(page: Page) -> str:
    """The comparison table, its notes, the effects of tricks, and downloads."""
    document = page.document
    cells, shown = document.cells(), document.table
    values = [[column.value(row) for column in document.columns] for row in shown.rows]
    attributes = [f'data-variant="{mark(row.variant)}"' for row in shown.rows]
    caption = f"Results of {document.title}"
    text = scrolled(grid(cells, caption=caption, heads=True, attributes=attributes, values=values), caption)
    text = text.replace("<table>", '<table class="sortable">', 1) + notes(document.lines())
    if (second := document.second()) is not None:
        caption = f"Effects of the tricks of {document.title}"
        text += scrolled(grid(second.cells, caption=caption, heads=True), caption) + notes(second.lines)
    return text + downloads(page)


def notes(lines: Sequence[str]) -> str:
    """The lines below a table; many are folded."""
    if len(lines) <= MANY:
        return items(lines)
    return items(lines[:2]) + f"<details><summary>{len(lines) - 2} notes</summary>\n{items(lines[2:])}</details>\n"


def downloads(page: Page) -> str:
    """Links to files that the page contains."""
    whole = {"csv": contents(page.table, "csv"), "tex": rendered(page.document, "tex")}
    whole |= {"json": contents(page.table, "json"), "yaml": page.study.recipe.text.encode()}
    links = []
    for suffix, data in whole.items():
        if data:
            address = f"data:{TYPES[suffix]};base64,{base64.b64encode(data).decode()}"
            name = escape(f"{page.document.title}.{suffix}")
            links.append(f'<a download="{name}" href="{address}">{name}</a>')
    return f'<p class="downloads">Download: {", ".join(links)}</p>\n'


def pictures(page: Page) -> list[tuple[str, str]]:
    """The figures by name."""
    tips = {mark(row.variant): str(one) for row, one in zip(page.table.rows, sentences(page.table), strict=True)}
    found = []
    with drawing():
        for name, figure in page.figures():
            label = page.caption(name)
            svg = inline(picture_bytes(figure, "svg"), name, f"{label}. The table has the values.", tips)
            caption = f"<figcaption>{escape(label)}.</figcaption>"
            found.append((name, f"<figure>\n{scrolled(svg, label)}{caption}\n</figure>\n"))
    return found


def small(cells: Cells, caption: str) -> str:
    """A table without notes."""
    return scrolled(grid(cells, caption=caption, heads=True), caption) if cells.rows else ""


def settings(page: Page) -> str:
    """What each variant changes."""
    return small(page.settings(), "Settings of each variant that differ from its parent's")


def diagnosis(page: Page) -> str:
    """What the curves say about each variant."""
    parts = [
        f"<dt>{escape(variant)}</dt>\n" + "".join(f"<dd>{escape(line)}</dd>\n" for line in lines)
        for variant, lines in page.diagnosis.items()
        if lines
    ]
    return f"<dl>\n{''.join(parts)}</dl>\n" if parts else ""


def cost(page: Page) -> str:
    """Time, memory and devices."""
    cells, line = page.costs()
    return small(cells, "Cost of each variant") + f"<p>{escape(line)}</p>\n"


def origin(page: Page) -> str:
    """Commit, versions, data and commands."""
    terms = (f"<dt>{escape(term)}</dt>\n<dd>{escape(text)}</dd>\n" for term, text in provenance(page))
    return f"<dl>\n{''.join(terms)}</dl>\n"


def recipe(page: Page) -> str:
    """The recipe's text."""
    from ablate.printable import visible

    text = visible(page.study.recipe.text)
    return scrolled(f"<pre><code>{escape(text)}</code></pre>", "Recipe") if text else ""
