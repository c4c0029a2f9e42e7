r"""A table for a paper; it needs ``\usepackage{booktabs,graphicx}``.

It is set in a small font, long texts are wrapped, and it is scaled down if it is still wider than the line: the default
columns fit the page of an article at 8 or 9 points.

Greek letters and common signs become commands; other letters outside Latin stay and need XeLaTeX or LuaLaTeX.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ablate.report.document import Document, Format

if TYPE_CHECKING:
    from ablate.report.column import Cells

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "←": r"$\gets$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≠": r"$\ne$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "²": r"$^2$",
    "³": r"$^3$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "…": r"\ldots{}",
    "–": "--",
    "—": "---",
    "µ": r"$\mu$",
    "\u00a0": "~",
    "\u202f": r"\,",
}
CAPITALS = {"GAMMA", "DELTA", "THETA", "LAMDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA"}


LONG = 26
"""Characters of a text above which its column is folded."""


def render(document: Document) -> str:
    """A floating table with caption, label and the notes below it; the effects of tricks in a second one."""
    document = document.narrow()
    study, second = document.title, document.second()
    style, name = document.style, label(study)
    about = " ".join((style.caption or document.description or f"Ablation of {study}").split())
    lines = floating(document.cells(), document.lines(), about, style.label or f"tab:{name}")
    if second is not None:
        lines += [
            "",
            *floating(
                second.cells,
                second.lines,
                f"Effects of the tricks of {study}",
                f"{style.label or f'tab:{name}'}-tricks",
            ),
        ]
    return "\n".join([r"% needs \usepackage{booktabs,graphicx}", *lines]) + "\n"


def floating(cells: Cells, notes: Sequence[str], caption: str, name: str) -> list[str]:
    """The lines of a table with its notes."""
    columns = list(zip(cells.titles, *cells.rows, strict=True))
    wide = [a == "left" and max(map(len, texts)) > LONG for texts, a in zip(columns, cells.alignments, strict=True)]
    forms = ["p{0.26\\linewidth}" if long else a[0] for long, a in zip(wide, cells.alignments, strict=True)]

    starred = {i for i, texts in enumerate(columns) if any(re.search(r"\d\*+$", text) for text in texts)}

    def line(texts: Sequence[str], alignments: Sequence[str], bold: Collection[int] = ()) -> str:
        marked = (
            with_stars(text, a) if i in starred and text and a == "right" else cell(text, a)
            for i, (text, a) in enumerate(zip(texts, alignments, strict=True))
        )
        parts = (rf"\textbf{{\boldmath {part}}}" if i in bold else part for i, part in enumerate(marked))
        return " & ".join((r"\raggedright " if long else "") + part for long, part in zip(wide, parts, strict=True))

    head = line(cells.titles, ["left"] * len(wide))
    body = [
        line(row, cells.alignments, {column for at, column in cells.bold if at == i})
        for i, row in enumerate(cells.rows)
    ]
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        f"  \\caption{{{escape(caption)}}}",
        f"  \\label{{{name}}}",
        r"  \small\setlength{\tabcolsep}{3pt}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"  \\begin{{tabular}}{{@{{}}{''.join(forms)}@{{}}}}",
        r"    \toprule",
        rf"    {head} \tabularnewline",
        r"    \midrule",
        *((r"    \midrule" + "\n") * (i in cells.breaks) + rf"    {row} \tabularnewline" for i, row in enumerate(body)),
        r"    \bottomrule",
        r"  \end{tabular}}",
    ]
    if notes:
        lines += [r"  \par\smallskip", r"  \begin{minipage}{\linewidth}\footnotesize"]
        lines += [f"    {cell(line, 'left')}" + (r"\\" if line is not notes[-1] else "") for line in notes]
        lines += [r"  \end{minipage}"]
    return [*lines, r"\end{table}"]


def cell(text: str, alignment: str) -> str:
    r"""One cell. A bracket or star at its start would belong to the ``\\`` before it, so it is put in braces."""
    escaped = escape(text)
    if alignment == "right":
        return re.sub(r"(?<=\d)e([+-])0*(\d+)", power, re.sub(r"(?<!e)-(?=\d)", "$-$", escaped))
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def with_stars(text: str, alignment: str) -> str:
    """A cell of a column with stars after some numbers. They are set in a box, so that the numbers stay aligned."""
    bare = text.rstrip("*")
    stars = f"$^{{{text[len(bare) :]}}}$" if bare != text else ""
    return rf"{cell(bare, alignment)}\makebox[1em][l]{{{stars}}}"


def power(exponent: re.Match[str]) -> str:
    """``e-07`` as a power of ten."""
    return f"$\\times10^{{{exponent[1].strip('+')}{exponent[2]}}}$"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; hyphens in a row stay apart."""
    return "".join(SPECIAL.get(c) or greek(c) for c in re.sub("-(?=-)", "-\0", text)).replace("\0", "{}")


def greek(character: str) -> str:
    """A Greek letter's command; any other character as it is."""
    match unicodedata.name(character, "").split():
        case ["GREEK", "SMALL", "LETTER", letter] if letter not in ("OMICRON", "FINAL"):
            return f"$\\{letter.lower().replace('lamda', 'lambda')}$"
        case ["GREEK", "CAPITAL", "LETTER", letter] if letter in CAPITALS:
            return f"$\\{letter.capitalize().replace('Lamda', 'Lambda')}$"
        case _:
            return character


def label(study: str) -> str:
    """A study's name in letters, digits and hyphens."""
    ascii_only = unicodedata.normalize("NFKD", study).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-") or "ablation"


FORMAT = Format("tex", (".tex",), render)
