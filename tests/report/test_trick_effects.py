"""The second table, with the effects of tricks, in every format."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import openpyxl
import pytest

from ablate.evidence.trick_table import Estimate, Interaction, TrickRow, TrickTable
from ablate.recipe.screening import Alias
from ablate.report.formats import contents, render
from ablate.report.trick_effects import second_table

CLEAR = Estimate(0.0123, 0.0103, 0.0143, 0.001, 0.002)
OPEN = Estimate(-0.002, -0.005, 0.001, 0.2, 0.4)


@pytest.fixture
def factorial(keypoints):
    both = Interaction(("flip", "drop_out"), CLEAR)
    rows = (
        TrickRow("flip", -0.0201, -0.0099, None, OPEN, both),
        TrickRow("drop_out", 0.5, 0.51, None, CLEAR, both),
    )
    effects = TrickTable("factorial", rows, (both,), 0.0103, {"shapley": 2, "interactions": 1})
    return replace(keypoints(), tricks=effects)


@pytest.fixture
def both_ends(keypoints):
    rows = (TrickRow("flip", -0.02, -0.01, OPEN), TrickRow("drop_out", 0.5, 0.4, CLEAR))
    return replace(keypoints(), tricks=TrickTable("both-ends", rows, (), 0.49, {"differs": 2}))


def test_text_of_a_factorial(factorial):
    _, table = render(factorial, "text").split("\nTrick ")
    lines = table.splitlines()
    assert lines[2].split() == ["flip", "-0.0201", "-0.0099", "-0.0020", "±0.0030", "*+0.0123", "±0.0020", "drop_out"]
    assert lines[3].split() == ["drop_out", "+0.5000", "+0.5100", "*+0.0123", "±0.0020", "*+0.0123", "±0.0020", "flip"]
    assert "(the sum is full minus the baseline, +0.0103)" in lines[5]
    assert lines[6] == (
        "The effects of some tricks depend on others: flip × drop_out (+0.0123) (* significant: paired t-test, "
        "Holm-corrected over 2 Shapley values, 5% level)."
    )


def test_words_of_both_ends(both_ends):
    second = second_table(both_ends)
    assert second.cells.titles == ["Trick", "Alone", "Last", "Alone − last ± 95%", "Verdict"]
    assert [row[-1] for row in second.cells.rows] == ["unclear", "differs"]
    assert second.lines[-1] == (
        "The effect of drop_out depends on the other tricks (paired t-test, Holm-corrected over 2 tricks, 5% level)."
    )
    unclear = replace(both_ends.tricks, rows=both_ends.tricks.rows[:1])
    assert second_table(replace(both_ends, tricks=unclear)).lines[-1].startswith("No trick's effect is shown to depend")


def test_words_of_a_screen(keypoints):
    rows = (
        TrickRow("flip", main=CLEAR, aliases=(Alias(("b", "c"), 1.0), Alias(("d", "e"), -1.0))),
        TrickRow("b", main=OPEN, aliases=tuple(Alias(("flip", one), 1 / 3) for one in "cde")),
    )
    effects = TrickTable("screen", rows, families={"main": 2})
    second = second_table(replace(keypoints(), tricks=effects))
    assert second.cells.rows == [
        ["flip", "*+0.0123 ±0.0020", "hurts", "b × c, d × e"],
        ["b", "-0.0020 ±0.0030", "unclear", "3 two-way interactions, each by at most 0.33"],
    ]
    assert second.lines[1].startswith("Resolution III: a main effect includes a share of the two-way interactions")
    assert second.lines[1].endswith("* significant: paired t-test, Holm-corrected over 2 main effects, 5% level.")
    clear = replace(effects, rows=(replace(rows[0], aliases=()),))
    second = second_table(replace(keypoints(), tricks=clear))
    assert second.cells.rows[0][-1] == "no two-way interaction"
    assert second.lines[1].startswith("Resolution IV: no main effect is aliased with a two-way interaction.")


def test_without_tests_nothing_is_said_to_be_significant(both_ends):
    """With one seed, there are only values."""
    rows = tuple(replace(row, differs=Estimate(row.differs.value)) for row in both_ends.tricks.rows)
    second = second_table(replace(both_ends, tricks=replace(both_ends.tricks, rows=rows)))
    assert [row[-2:] for row in second.cells.rows] == [["-0.002", ""], ["+0.012", ""]]
    assert len(second.lines) == 1


@pytest.mark.parametrize("format", ["text", "md", "html", "tex"])
def test_a_table_without_effects_stays_as_it_is(keypoints, both_ends, format):
    bare = replace(both_ends, tricks=TrickTable("both-ends", (TrickRow("flip"), TrickRow("drop_out"))))
    assert second_table(bare) is None
    assert render(bare, format) == render(keypoints(), format)


@pytest.mark.parametrize("format", ["text", "md", "html", "tex"])
def test_the_first_table_stays_as_it_is(keypoints, factorial, format):
    first = render(keypoints(), format).removesuffix("</body>\n</html>\n")
    assert render(factorial, format).startswith(first)


def test_markdown_and_latex_escape(factorial):
    assert r"\*+0.0123 ±0.0020" in render(factorial, "md")
    text = render(factorial, "tex")
    assert r"\label{tab:facial-keypoints-tricks}" in text
    assert r"drop\_out & +0.5000 & +0.5100 & *+0.0123 $\pm$0.0020 & *+0.0123 $\pm$0.0020 & flip \tabularnewline" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert render(factorial, "html").count("</table>") == 2


def test_json_has_all_effects_and_csv_only_variants(factorial, keypoints):
    tree = json.loads(render(factorial, "json"))["tricks"]
    assert tree["families"] == {"shapley": 2, "interactions": 1}
    assert tree["rows"][1]["shapley"] == {
        "value": 0.0123,
        "low": 0.0103,
        "high": 0.0143,
        "p": 0.001,
        "p_adjusted": 0.002,
    }
    assert tree["interactions"] == [{"tricks": ["flip", "drop_out"], "effect": tree["rows"][1]["shapley"]}]
    assert render(factorial, "csv") == render(keypoints(), "csv")
    assert "tricks" not in json.loads(render(keypoints(), "json"))


def test_a_spreadsheet_has_a_sheet_of_tricks(factorial):
    book = openpyxl.load_workbook(io.BytesIO(contents(factorial, "xlsx")))
    assert [cell.value for cell in book["tricks"]["A"]][:3] == ["Trick", "flip", "drop_out"]
