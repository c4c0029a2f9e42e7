"""Several studies in one table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from ablate.evidence.trick_table import Estimate, TrickRow, TrickTable
from ablate.recipe.variant import Compare
from ablate.report.columns import ArgumentError
from ablate.report.formats import rendered
from ablate.report.formats.json import table_tree
from ablate.report.several import several
from ablate.report.style import Style


@pytest.fixture
def two(keypoints):
    one = keypoints()
    rows = tuple(replace(row, variant=f"b{i}", metrics={"acc": 0.5 + i / 10}) for i, row in enumerate(one.rows))
    return [one, replace(one, study="other", rows=rows, metrics=("acc",), recipe_metrics=("acc",))]


def text(tables, format, **how):
    data = format == "csv"
    return rendered(several(tables, data=data, **how), format).decode()


def test_a_heading_for_each_study_and_shared_columns(two):
    lines = text(two, "text").splitlines()
    assert lines[0].split()[-1] == "Acc"
    names = [line.split()[0] for line in lines[2 : lines.index("")]]
    assert names[0] == "facial-keypoints"
    assert names[1:4] == ["net1", "net2", "net3"]
    assert names[4].startswith("---")
    assert names[5:] == ["other", "b0", "b1", "b2"]
    assert lines[9].split()[-1] == "0.6000" or "0.6" in lines[9].split()[-1]


def test_what_all_studies_say_is_said_once(two):
    text_of = text(two, "md")
    assert text_of.count("± sd over 5 seeds") == 1
    fewer = replace(two[1], family=replace(two[1].family, comparisons=5))
    assert "- other: Verdict: moderated paired t-test, Holm-corrected over 5" in text([two[0], fewer], "md")


def test_names_of_studies_are_bold_and_so_are_their_best_results(two):
    best = replace(two[1], rows=tuple(replace(row, best=i == 1) for i, row in enumerate(two[1].rows)))
    lines = text([two[0], best], "md", style=Style.of("bold"), columns=["name", "valid_loss"]).splitlines()
    assert lines[2].startswith("| **facial-keypoints** |")
    assert lines[6].startswith("| **other** ")
    assert [("**0.00" in line) for line in lines[3:10]] == [False, False, False, False, False, True, False]
    assert text(two, "tex").count(r"\midrule") == 2
    assert r"\textbf{\boldmath other} &" in text(two, "tex")
    assert "<td><b>other</b></td>" in text(two, "html")


def test_csv_has_a_column_of_studies_and_json_a_list(two):
    rows = list(csv.DictReader(io.StringIO(text(two, "csv"))))
    assert [(row["study"], row["variant"]) for row in rows[2:4]] == [("facial-keypoints", "net3"), ("other", "b0")]
    assert [row["acc"] for row in rows[2:5]] == ["", "0.5", "0.6"]
    assert json.loads(text(two, "json")) == {"studies": [json.loads(json.dumps(table_tree(one))) for one in two]}


def test_rows_are_sorted_within_their_study(two):
    rows = list(csv.DictReader(io.StringIO(text(two, "csv", sort="-variant"))))
    assert [row["variant"] for row in rows] == ["net3", "net2", "net1", "b2", "b1", "b0"]


def test_effects_of_tricks_are_mentioned(two):
    effects = TrickTable("both-ends", (TrickRow("flip", 0.1, 0.2, Estimate(-0.1)),))
    shown = text([two[0], replace(two[1], tricks=effects)], "text")
    assert "The effects of tricks are in the studies' own tables: other." in shown


def test_what_cannot_be_combined(two):
    with pytest.raises(ValueError, match=r"study \(=other\) is given twice"):
        several([*two, two[1]])
    accuracy = replace(two[1], compare=Compare("acc", "higher"))
    with pytest.raises(ValueError, match=r"facial-keypoints compares valid_loss \(lower .* and other acc \(higher"):
        several([two[0], accuracy])
    with pytest.raises(ArgumentError, match=r"columns \(=acx\) is not a column"):
        several(two, ["acx"])
