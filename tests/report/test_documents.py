"""Tables where they are meant to go: a paper, a page, a README; read by the programs that will read them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from ablate.report.formats import render
from ablate.report.wording import plain

PAPER = r"""\documentclass[twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
\title{Fifteen points}\author{A. Uthor}\maketitle
\section{Results}
Table~\ref{%s} shows them.
%s
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_a_paper_compiles_with_the_table_and_a_reference_to_it(keypoints, tmp_path):
    import re

    table = render(keypoints(), "tex")
    label = re.search(r"\\label\{([^}]*)\}", table)
    assert label is not None
    body = table.replace(r"\begin{table}", r"\begin{table*}").replace(r"\end{table}", r"\end{table*}")
    (tmp_path / "paper.tex").write_text(PAPER % (label[1], body), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for _ in range(2):  # the second time knows where labels are
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    assert "undefined" not in done.stdout
    if shutil.which("pdftotext") is not None:
        text = subprocess.run(
            ["pdftotext", "-layout", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        for word in ("Table 1 shows them", "net1", "single hidden", "0.003255", "helps"):
            assert word in " ".join(text.stdout.split())


NARROW = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("columns", [None, "all"])
def test_seven_rows_fit_the_line_of_an_article(keypoints, tmp_path, columns):
    """The default table, and one with every column that there is, which is drawn in; a long description is folded."""
    from ablate.report.columns import available

    table = keypoints()
    rows = [replace(table.rows[2], variant=f"net{i}", detectable=0.0001 * i, detectable_seeds=10) for i in range(4, 8)]
    rows[0] = replace(rows[0], description="what the paper calls the second stage of the augmented training")
    table = replace(table, rows=(*table.rows, *rows))
    text = render(table, "tex", columns and list(available(table)))
    (tmp_path / "paper.tex").write_text(NARROW % text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in (tmp_path / "paper.log").read_text(errors="replace")


def test_the_page_is_valid_and_shows_hostile_names_as_they_are(keypoints, hostile):
    html5lib = pytest.importorskip("html5lib", reason="html5lib is not installed")
    for table in (keypoints(), hostile):
        text = render(table, "html", columns=["name", "description", "valid_loss", "notes"])
        page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
        rows = page.findall(".//tbody/tr")
        assert ["".join(row[0].itertext()).strip() for row in rows] == [plain(row.variant) for row in table.rows]
        assert {one.tag for one in page.iter() if isinstance(one.tag, str)} <= {
            "html", "head", "meta", "title", "style", "body", "h1", "p", "ul", "li",
            "table", "caption", "thead", "tbody", "tr", "th", "td", "strong", "b", "span",
        }  # fmt: skip
        assert not any(name.lower().startswith("on") for one in page.iter() for name in one.attrib)


def test_the_markdown_is_a_table_and_nothing_in_it_is_markup(keypoints, hostile):
    markdown_it = pytest.importorskip("markdown_it", reason="markdown-it is not installed")
    renderer = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for table in (keypoints(), hostile):
        tokens = renderer.parse(
            render(replace(table, rows=table.rows), "md", columns=["name", "description", "valid_loss"])
        )
        assert [token.type for token in tokens if token.type.endswith("table_open")] == ["table_open"]
        assert not [token for token in tokens if token.type == "html_block"]
        cells = [token for token in tokens if token.type == "inline"][: 3 * (1 + len(table.rows))]
        first = ["".join(part.content for part in cell.children) for cell in cells[::3]]
        assert first == ["Name", *(plain(row.variant) for row in table.rows)]
        kinds = {part.type for cell in cells for part in cell.children}
        assert kinds <= {"text", "text_special", "strong_open", "strong_close"}
