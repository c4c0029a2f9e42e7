"""Tables as papers print them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from ablate.evidence.trick_table import Estimate, TrickRow, TrickTable
from ablate.report.columns import ArgumentError
from ablate.report.formats import PRINTED, contents, render
from ablate.report.style import Style

PAPER = Style.of("paper")


@pytest.fixture
def table(keypoints):
    marked = keypoints()
    best = (False, True, True)
    rows = tuple(replace(row, best=b) for row, b in zip(marked.rows, best, strict=True))
    return replace(marked, rows=(*rows, replace(rows[2], variant="net4", best=False, p_adjusted=0.02)))


def test_names_of_styles():
    assert Style.of(None) == Style()
    assert Style.of("pm, stars") == Style(pm=True, stars=True)
    assert Style(pm=True, bold=True, stars=True, groups=True) == PAPER
    with pytest.raises(
        ArgumentError, match=r"style \(=blod\) must be one or several of paper, .*Did you mean 'bold'\?"
    ):
        Style.of("pm,blod")


@pytest.mark.parametrize("format", PRINTED)
def test_without_a_style_nothing_changes(table, format):
    assert render(table, format, style=Style()) == render(table, format)


def test_spreads_in_the_cells(table):
    lines = render(table, "md", style=Style.of("pm")).splitlines()
    assert "± sd" not in lines[0]
    assert "| 0.001523 ± 0.000031 |" in lines[3]
    assert "± sd over 5 seeds" in "".join(lines) or "± sd (n)" in "".join(lines)


def test_best_results_in_bold(table):
    lines = render(table, "md", style=Style.of("bold")).splitlines()
    assert [line.count("**0.00") for line in lines[2:6]] == [0, 1, 1, 0]
    assert "**0.001523**" in lines[3]
    assert "Bold: best valid_loss" in lines[-1]
    assert "Holm-corrected over 3" in lines[-1]
    assert render(table, "html", style=Style.of("bold")).count("<b>") == 2
    assert "Bold" not in render(table, "text", style=Style.of("bold"))  # a file of plain text has none
    assert r"\textbf{\boldmath 0.001523}" in render(table, "tex", style=Style.of("bold"))


def test_stars_after_differences(table):
    text = render(table, "text", style=Style.of("stars"))
    assert "-0.001650]***" in text
    assert "+0.000300]*\n" in text.replace("  unclear", "\n") or "+0.000300]*  " in text
    assert "*, **, ***: Δ parent with p (Holm) < 0.05, 0.01, 0.001." in text
    tex = render(table, "tex", style=Style.of("stars"))
    assert r"$\pm$0.000080\makebox[1em][l]{$^{***}$} & helps" in tex
    assert r"$\pm$0.000200\makebox[1em][l]{} & unclear" in tex


def test_rules_between_groups(table):
    tex = render(table, "tex", style=Style.of("groups"))
    assert (
        tex.count(r"\midrule") == 1 + 2
    )  # below the titles, above net2, and above net3 and net4, which share a parent
    text = render(table, "text", style=Style.of("groups")).splitlines()
    assert [i for i, line in enumerate(text) if line.startswith("---")] == [1, 3, 5]
    assert render(table, "html", style=Style.of("groups")).count("<tbody>") == 3


def test_a_ladder_has_no_groups(keypoints):
    assert render(keypoints(), "tex", style=Style.of("groups")) == render(keypoints(), "tex")


def test_caption_and_label(table):
    tex = render(table, "tex", style=Style.of(None, "50% & more", "tab:mine"))
    assert r"\caption{50\% \& more}" in tex
    assert r"\label{tab:mine}" in tex
    with pytest.raises(ArgumentError, match=r"caption \(=x\) requires the format tex, not md"):
        render(table, "md", style=Style.of(None, "x"))


def test_percent(table):
    rows = tuple(replace(row, delta_percent=p) for row, p in zip(table.rows, (None, -53.21, 5.0, 0.0), strict=True))
    lines = render(replace(table, rows=rows), "md", columns=["name", "Δ %"]).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:6]] == ["", "-53.2", "+5.0", "0.0"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("style", [Style(), PAPER])
def test_latex_compiles(table, tmp_path, style):
    effects = TrickTable("both-ends", (TrickRow("a_b", 0.1, 0.2, Estimate(0.1, 0.05, 0.15, 0.01, 0.02)),))
    (tmp_path / "table.tex").write_bytes(contents(replace(table, tricks=effects), "tex", style=style))
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}\usepackage[utf8]{inputenc}"
        r"\begin{document}\input{table.tex}\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
