from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from ablate.cli.options import Layout
from ablate.cli.show_table import show, show_table
from ablate.evidence.gather import Row, Table
from ablate.evidence.seeds import Tally
from ablate.notes.note import Note
from ablate.recipe.variant import Compare
from ablate.report.columns import select_columns
from ablate.report.document import Document
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


def printed(table, width, columns=None, sort=None, notes=False):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system="standard")
    table, chosen = select_columns(table, columns, sort)
    show_table(Document(table=table, columns=chosen, notes=notes), console)
    return console.file.getvalue()


def bare(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


NUMBERS = ["0.002244", "0.003255", "0.001010", "0.001523", "±0.000030"]
EFFECT = [["-0.001732", "[-0.001810,", "-0.001650]"], ["-0.001732", "±0.000080"], ["-0.00173", "±0.00008"]]


@pytest.mark.parametrize("width", [200, 110, 80, 60, 40])
def test_no_number_is_cut_at_any_width(table, width):
    text = bare(printed(table, width))
    words = text.split()
    assert [number for number in NUMBERS if number not in words] == []
    assert any(set(effect) <= set(words) for effect in EFFECT)
    assert all(len(line) <= width for line in text.splitlines())
    assert "2/5" in words
    assert all("…" not in word for word in words if word[-1].isdigit())


def test_a_wide_terminal_has_a_line_per_row(table):
    lines = bare(printed(table, 200)).splitlines()
    assert sum(line.lstrip().startswith("net") for line in lines) == 3
    assert "-0.001732 [-0.001810, -0.001650]" in "\n".join(lines)


@pytest.fixture
def ladder():
    first = Row(
        "net1", None, "single hidden", (), "finished", 5, 400, None, 0.002244, 1e-5, None, 0.003255, 3e-5, tally=FIVE
    )
    steps = ["convolutions", "augmentation (flips)", "learning rate + momentum", "dropout", "ensembles of nets"]
    rows = [
        Row(
            f"net{i}", f"net{i - 1}", step, (), "finished", 5, 1000 * i, None, 0.00101, 1e-5, None, 0.001523, 3e-5,
            -0.001732, -0.001810, -0.001654, 0.2, "unclear" if i % 2 else "helps", tally=FIVE, detectable=6e-5, detectable_seeds=10,
        )
        for i, step in enumerate(steps, start=2)
    ]  # fmt: skip
    return Table("faces", Compare(), (first, *rows))


@pytest.mark.parametrize(
    ("width", "effect", "verdict"),
    [
        (180, "-0.001732 [-0.001810, -0.001654]", "unclear (within ±0.0018; 10 seeds would show 0.000060)"),
        (125, "-0.001732 ±0.000078", "unclear (within ±0.0018)"),
        (100, "-0.00173 ±0.00008", "unclear"),
    ],
)
def test_usual_terminals_have_a_line_per_row(ladder, width, effect, verdict):
    lines = bare(printed(ladder, width)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("net1"))
    assert [line.split()[0] for line in lines[start : start + 6]] == [f"net{i}" for i in range(1, 7)]
    assert lines[start + 6].strip() == ""
    assert effect in lines[start + 1]
    assert verdict in lines[start + 2]
    assert max(map(len, lines)) <= width


def test_numbers_of_seeds_stay_where_rows_differ_in_them(ladder):
    rows = (*ladder.rows[:-1], replace(ladder.rows[-1], seeds=4, tally=Tally(5, 4)))
    assert "(4/5)" in bare(printed(replace(ladder, rows=rows), 100))


def test_blocks_stand_apart(ladder):
    lines = bare(printed(ladder, 45)).splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("net")]
    assert len(starts) == 6
    assert all(lines[i - 1] == "" for i in starts[1:])
    assert "  Δ parent: -0.001732 [-0.001810, -0.001654]" in lines


def test_names_are_no_markup(table):
    assert "[red]convolutions[/red] <b>" in bare(printed(table, 200))


def test_verdicts_are_coloured_on_a_terminal(table):
    assert "\x1b[32mhelps" in printed(table, 200)
    assert "\x1b[33munstable" in printed(table, 200)


def test_sentences_follow(table):
    assert "unstable: " in bare(printed(table, 200))


def test_in_a_pipe_it_is_plain_text(table, capsys):
    show([table], "text", Layout(columns="name,description", sort="-name"))
    said = capsys.readouterr().out
    assert said == render(table, "text", ["name", "description"], "-name")
    assert "[red]convolutions[/red] <b>" in said


def test_columns_and_order(table):
    text = bare(printed(table, 80, columns=["name", "verdict"], sort="-epochs"))
    assert re.findall(r"net\d", text)[:3] == ["net3", "net2", "net1"]
    with pytest.raises(ValueError, match="columns"):
        printed(table, 80, columns=["nope"])


def test_an_empty_table(table):
    assert "Name" in bare(printed(replace(table, rows=()), 80))


def test_all_notes_are_shown_only_when_asked_for(table, capsys):
    rows = [replace(row, notes=(Note("text", values={"text": f"remark {i}"}),)) for i, row in enumerate(table.rows)]
    noted = replace(table, rows=tuple(rows))
    for format in ("text", "md", "html"):
        show([noted], format, Layout())
        brief = capsys.readouterr().out
        show([noted], format, Layout(notes=True))
        full = capsys.readouterr().out
        assert full == render(noted, format, notes=True)
        assert len(full.splitlines()) > len(brief.splitlines())
    brief, full = (bare(printed(noted, 200, notes=notes)) for notes in (False, True))
    assert "net1: remark 0.\n" in full
    assert "net1: remark 0.\n" not in brief
