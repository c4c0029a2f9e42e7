from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from ablate.cli.show_table import show_table
from ablate.evidence.rows import Row, Table
from ablate.evidence.seeds import Tally
from ablate.recipe.recipe import Compare
from ablate.report.formats import render

FIVE = Tally(5, 5)


@pytest.fixture
def table():
    rows = (
        Row("net1", None, "single hidden", (), "finished", 5, 400, None, 0.002244, 1e-5, None, 0.003255, 3e-5, tally=FIVE),
        Row(
            "net2", "net1", "[red]convolutions[/red] <b>", (), "finished", 5, 1000, None, 0.00101, 1e-5, None, 0.001523, 3e-5,
            -0.001732, -0.00181, -0.00165, 0.0003, "helps", tally=FIVE,
        ),
        Row("net3", "net2", "flip", (), "diverged", 3, 3000, verdict="unstable", tally=Tally(5, 3, 2)),
    )  # fmt: skip
    return Table("faces", Compare(), rows)


def printed(table, width, terminal=True, **how):
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=width, color_system="standard" if terminal else None
    )
    show_table(table, console=console, **how)
    return console.file.getvalue()


def bare(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


NUMBERS = ["0.002244", "0.003255", "0.001010", "0.001523", "±0.000030", "-0.001732", "[-0.001810,", "-0.001650]"]


@pytest.mark.parametrize("width", [200, 110, 80, 60, 40])
def test_no_number_is_cut_at_any_width(table, width):
    text = bare(printed(table, width))
    words = text.split()
    assert [number for number in NUMBERS if number not in words] == []
    assert all(len(line) <= width for line in text.splitlines())
    assert "2/5" in words
    assert "…" not in text


def test_a_wide_terminal_has_a_line_per_row(table):
    lines = bare(printed(table, 200)).splitlines()
    assert sum(line.lstrip().startswith("net") for line in lines) == 3
    assert "-0.001732 [-0.001810, -0.001650]" in "\n".join(lines)


def test_names_are_no_markup(table):
    assert "[red]convolutions[/red] <b>" in bare(printed(table, 200))


def test_verdicts_are_coloured_on_a_terminal(table):
    assert "\x1b[32mhelps" in printed(table, 200)
    assert "\x1b[33munstable" in printed(table, 200)


def test_sentences_follow(table):
    assert "unstable: a seed diverged, so there is no mean." in bare(printed(table, 200))


def test_elsewhere_it_is_the_markdown_table(table):
    assert printed(table, 40, terminal=False) == render(table, "md")
    assert printed(table, 40, False, columns=["name"], sort="-name") == render(table, "md", ["name"], "-name")


def test_columns_and_order(table):
    text = bare(printed(table, 80, columns=["name", "verdict"], sort="-epochs"))
    assert re.findall(r"net\d", text)[:3] == ["net3", "net2", "net1"]
    with pytest.raises(ValueError, match="columns"):
        printed(table, 80, columns=["nope"])


def test_an_empty_table(table):
    assert "Name" in bare(printed(replace(table, rows=()), 80))
