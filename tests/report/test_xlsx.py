"""Spreadsheets: numbers are numbers, text is never run, and nothing is lost."""

from __future__ import annotations

import io
import sys

import pytest

from ablate.report.columns import data_keys
from ablate.report.formats import contents
from ablate.report.wording import plain

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra xlsx")


def read(contents):
    book = openpyxl.load_workbook(io.BytesIO(contents))
    assert book.sheetnames == ["table", "data"]
    return book["table"], book["data"]


def rows_of(sheet):
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_the_first_sheet_is_the_readers_table_in_numbers(keypoints):
    table = keypoints()
    sheet, _ = read(contents(table, "xlsx"))
    head, first, second, *_ = rows_of(sheet)
    assert head[:5] == ["Name", "Description", "Epochs", "Train loss", "Validation loss"]
    assert first[:5] == ["net1", "single hidden", 400, 0.0022, 0.003255]
    assert sheet["E2"].number_format == "0.000000"
    assert second[6] == "-0.001732 [-0.001810, -0.001650]"
    assert sheet.freeze_panes == "B2"
    said = [row[0] for row in rows_of(sheet)[5:]]
    assert any(text.startswith("± sd over 5 seeds. Δ parent: valid_loss minus the parent's") for text in said)


def test_the_second_sheet_has_every_value(keypoints):
    table = keypoints()
    _, sheet = read(contents(table, "xlsx"))
    head, *rows = rows_of(sheet)
    assert head == data_keys(table)
    for row, mine in zip(rows, table.rows, strict=True):
        found = dict(zip(head, row, strict=True))
        assert (found["variant"], found["valid_loss"], found["ci_low"]) == (mine.variant, mine.valid_loss, mine.ci_low)


def test_no_text_is_a_formula(hostile):
    sheet, data = read(contents(hostile, "xlsx", columns=["name", "description", "notes"]))
    assert [sheet.cell(line, 1).value or "" for line in range(2, 2 + len(hostile.rows))] == [
        plain(r.variant) for r in hostile.rows
    ]
    for each in (sheet, data):
        for cell in (cell for row in each.iter_rows() for cell in row if isinstance(cell.value, str)):
            assert cell.data_type == "s"
            assert cell.quotePrefix


def test_columns_and_order_can_be_chosen(keypoints):
    sheet, _ = read(contents(keypoints(), "xlsx", ["name", "valid_loss"], "valid_loss"))
    assert [row[:2] for row in rows_of(sheet)[:3]] == [
        ["Name", "Validation loss"],
        ["net2", 0.001523],
        ["net3", 0.0016],
    ]
    with pytest.raises(ValueError, match="valid_los"):
        contents(keypoints(), "xlsx", ["valid_los"])


def test_without_the_library_one_line_says_how_to_get_it(keypoints, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        ValueError, match=r"^xlsx requires openpyxl. Install it with: pip install 'ablate-runner\[xlsx\]'$"
    ):
        contents(keypoints(), "xlsx")
