"""Pictures: what is drawn where, that nothing is cut off or written over, and that the same numbers give the same
bytes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from matplotlib.text import Text

from ablate.evidence.verdicts import Verdict
from ablate.recipe.variant import Compare
from ablate.report import figure
from ablate.report.curves import MOST_POINTS, Curves
from ablate.report.draw_curves import MOST_PANELS, draw_curves
from ablate.report.draw_effects import draw_effects
from ablate.report.draw_ladder import draw_ladder
from ablate.report.figure import (
    VERDICT_COLOURS,
    drawing,
    fitted,
    linear_ticks,
    log_ticks,
    number,
    picture_suffix,
    text_width,
    wrapped,
)
from ablate.report.pictures import picture, pictures
from ablate.store.records import RunRecord, VariantRecord
from ablate.store.store import Store

LONG = "a name that goes on and on until all of the hundred characters that a name may have are taken up: 001"
HOSTILE = [
    "$x_1$ 50%",
    "$\\frac{1}{0}$ \\alpha",
    "<script>&amp;",
    "größe Δλ 漢字",
    "\x1b[31mred\x07 two\nlines",
    LONG,
    "_em_ **b** #^~{}",
]


# numbers


def test_mean_and_band_go_as_far_as_every_seed_came(lab):
    lab.row("a", 3, epochs=6, lasts={0: 6, 1: 4, 2: 6})
    curve = Curves(lab.study, lab.store).of("a")["valid_loss"]
    assert list(curve.epochs) == [1, 2, 3, 4]
    values = np.array([line.values[:4] for line in curve.lines])
    assert curve.mean == pytest.approx(values.mean(axis=0))
    assert curve.low == pytest.approx(values.min(axis=0))
    assert curve.high == pytest.approx(values.max(axis=0))
    assert [line.last for line in curve.lines] == [6, 4, 6]


def test_a_row_with_a_diverged_seed_has_no_mean(lab):
    lab.row("a", 3, statuses={1: "diverged"}, lasts={1: 2})
    curve = Curves(lab.study, lab.store).of("a")["valid_loss"]
    assert len(curve.mean) == 0
    assert [line.seed for line in curve.diverged] == [1]


def test_many_epochs_are_averaged_over_stretches(lab):
    lab.row("short", 1, epochs=50)
    lab.row("long", 1, epochs=1001)
    curves = Curves(lab.study, lab.store)
    assert [curves.of(name)["valid_loss"].stretch for name in ("short", "long")] == [1, 3]
    assert list(curves.of("short")["valid_loss"].epochs) == list(range(1, 51))
    [line] = curves.of("long")["valid_loss"].lines
    assert len(line.values) == 334 <= MOST_POINTS
    assert list(line.epochs[:2]) == [2, 5]
    assert line.epochs[-1] == 1000.5
    raw = [each["valid_loss"] for each in lab.store.metrics(lab.rows[1].runs[0].fingerprint)]
    assert line.values[:2] == pytest.approx([np.mean(raw[:3]), np.mean(raw[3:6])])
    assert line.values[-1] == pytest.approx(np.mean(raw[-2:]))


def test_gaps_stay_gaps(lab):
    lab.row("a", 1, epochs=3)
    path = lab.store.run_folder(lab.rows[0].runs[0].fingerprint) / "metrics.jsonl"
    path.write_text(
        '{"epoch": 1, "valid_loss": 1.0}\n{"epoch": 2, "valid_loss": null}\n{"epoch": 3, "valid_loss": 3.0}\n{"epoch": 4, "va'
    )
    [line] = Curves(lab.study, lab.store).of("a")["valid_loss"].lines
    assert line.values == pytest.approx([1, np.nan, 3], nan_ok=True)


def test_folds_of_a_seed_are_one_line(lab):
    lab.row("a", 2, epochs=3)
    [record] = lab.rows
    folds = tuple(
        RunRecord(run.fingerprint, 0, fold, "finished", epoch=3, epochs=3) for fold, run in enumerate(record.runs)
    )
    lab.rows = [VariantRecord(record.variant, folds)]
    [line] = Curves(lab.study, lab.store).of("a")["valid_loss"].lines
    raw = [[each["valid_loss"] for each in lab.store.metrics(run.fingerprint)] for run in folds]
    assert line.values == pytest.approx(np.mean(raw, axis=0))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.9, 11, [1, 2, 5, 10]),
        (0.0009, 1.1, [0.001, 0.01, 0.1, 1]),
        (1e-9, 1, [1e-9, 1e-7, 1e-5, 1e-3, 1e-1]),
        (0.3, 0.35, [0.3]),
    ],
)  # fmt: skip
def test_logarithmic_ticks(low, high, ticks):
    assert log_ticks(low, high, 5) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "spacing", "text"),
    [
        (0.0, None, "0"), (0.002, None, "0.002"), (1500.0, 500.0, "1,500"), (2e-6, None, "2e−06"), (-0.05, 0.05, "−0.05"),
        (0.1, 0.05, "0.10"), (3e8, 1e8, "3e+08"), (5.0, 5.0, "5"),
    ],
)  # fmt: skip
def test_ticks_are_plain_numbers(value, spacing, text):
    assert number(value, spacing) == text


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.0011, 0.0004), (0, 10_000), (0.3, 0.35), (1e-7, 3e-7)])
def test_neighbouring_ticks_read_differently(low, high):
    ticks = linear_ticks(low, high)
    labels = [number(tick, ticks[1] - ticks[0]) for tick in ticks]
    assert len(set(labels)) == len(labels) >= 3


# what is drawn


def test_the_ladder_steps_from_parent_to_row(lab):
    lab.ladder(3, 3)
    table = lab.table
    with drawing():
        [axes] = draw_ladder(table).axes
        bars = [(patch.get_x(), patch.get_width()) for patch in axes.patches]
    for row, (start, width) in zip(table.rows[1:], bars, strict=True):
        parent = next(other for other in table.rows if other.variant == row.parent)
        assert start == pytest.approx(parent.valid_loss)
        assert start + width == pytest.approx(row.valid_loss)
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert points == pytest.approx([row.valid_loss for row in table.rows])


def test_effects_show_each_difference_with_its_interval_and_its_seeds(lab):
    lab.ladder(3, 5)
    table = lab.table
    with drawing():
        [axes] = draw_effects(lab.study, table).axes
        squares = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "s"]
        dots = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
        ends = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 1.8]
    assert squares == pytest.approx([row.delta_parent for row in table.rows[1:]])
    assert [len(each) for each in dots] == [5, 5]
    assert [np.mean(each) for each in dots] == pytest.approx(squares)
    for drawn, row in zip(ends, table.rows[1:], strict=True):
        assert drawn == pytest.approx((row.ci_low, row.ci_high))


def test_pictures_of_one_seeds_folds_speak_of_folds(lab):
    lab.ladder(2, 5)
    lab.rows = [
        VariantRecord(row.variant, tuple(replace(run, seed=0, fold=run.seed) for run in row.runs)) for row in lab.rows
    ]
    table = lab.table
    assert table.unit == "fold"
    with drawing():
        effects = " ".join(text.get_text() for text in draw_effects(lab.study, table).texts)
        ladder = " ".join(text.get_text() for text in draw_ladder(table).texts)
    assert "5 folds of 1 seed" in effects
    assert "dots: folds" in effects
    assert "points: means over the folds" in ladder


def test_an_interval_that_would_hide_all_others_ends_in_an_arrow(lab):
    lab.ladder(2, 3)
    wide = replace(lab.table.rows[1], ci_low=-50.0, ci_high=50.0)
    table = replace(lab.table, rows=(lab.table.rows[0], wide))
    with drawing():
        [axes] = draw_effects(lab.study, table).axes
        assert axes.get_xlim()[1] < 5
        assert {line.get_marker() for line in axes.lines} >= {"<", ">"}


def test_curves_have_a_panel_for_each_row_and_its_parent_behind(lab):
    lab.ladder(3, 2)
    with drawing():
        figure = draw_curves(lab.study, Curves(lab.study, lab.store))
        assert len(figure.axes) == 3
        assert [len(axes.collections) for axes in figure.axes] == [2, 2, 2]  # bands of train and valid
        assert [len(axes.lines) for axes in figure.axes] == [2, 3, 3]
        assert {axes.get_ylim() for axes in figure.axes} == {figure.axes[0].get_ylim()}
        assert figure.axes[0].get_yscale() == "log"
        accuracy = draw_curves(lab.study, Curves(lab.study, lab.store), "accuracy")
        assert [axes.get_yscale() for axes in accuracy.axes] == ["linear"] * 3


def test_a_diverged_seed_is_shown_to_end(lab):
    lab.row("a", 3, statuses={1: "diverged"}, lasts={1: 2})
    with drawing():
        [axes] = draw_curves(lab.study, Curves(lab.study, lab.store)).axes
        crosses = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"]
        assert crosses == [2, 2]
        assert [text.get_text() for text in axes.texts if "diverged" in text.get_text()] == ["1 of 3 diverged"]
        assert [len(lines.get_segments()) for lines in axes.collections] == [3, 3]  # a line for each seed, no bands


def test_more_rows_than_fit_are_counted(lab):
    lab.ladder(MOST_PANELS + 2, 1)
    with drawing():
        figure = draw_curves(lab.study, Curves(lab.study, lab.store))
        assert len(figure.axes) == MOST_PANELS
        assert any("variants not shown: 2" in text.get_text() for text in figure.texts)


def test_only_runs_that_are_drawn_are_read_and_no_table_is_made(lab, monkeypatch):
    lab.ladder(MOST_PANELS + 10, 3)
    read = Counter()
    metrics = lab.store.metrics
    monkeypatch.setattr(Store, "metrics", lambda store, name: read.update([name]) or metrics(name))
    picture("curves", lab.study, lab.store, lambda: pytest.fail("curves need no table"), "png")
    counts = [[read[run.fingerprint] for run in row.runs] for row in lab.rows]
    assert all(min(row) >= 1 for row in counts[:MOST_PANELS])
    assert all(max(row[1:]) == 1 for row in counts[:MOST_PANELS])
    assert all(row[1:] == [0, 0] for row in counts[MOST_PANELS:])


def test_every_verdict_has_a_colour():
    assert set(VERDICT_COLOURS) == set(get_args(Verdict))


def test_what_is_not_there_is_said(lab):
    lab.row("a", 2, statuses={0: "running", 1: "running"})
    with drawing():
        with pytest.raises(ValueError, match="faces has no results"):
            draw_ladder(lab.table)
        with pytest.raises(ValueError, match="faces has no effects"):
            draw_effects(lab.study, lab.table)
        with pytest.raises(ValueError, match=r"metric \(=acuracy\) has no curve in faces. Did you mean 'accuracy'\?"):
            draw_curves(lab.study, Curves(lab.study, lab.store), "acuracy")
    assert set(pictures(lab.study, lab.store, lab.table)) == {"curves.svg"}
    empty = type(lab)(lab.store.root / "elsewhere").ladder(2, 1)
    bare = Store(lab.store.root / "nowhere")
    with pytest.raises(ValueError, match="faces has no curves"):
        picture("curves", empty.study, bare, lambda: empty.table, "svg")


# how it looks


def texts_of(figure):
    """All written text, with the rectangle that it takes."""
    from matplotlib.text import Text

    figure.canvas.draw()
    written = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent()) for text in written]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 10])
@pytest.mark.parametrize("rows", [2, 7, 12])
@pytest.mark.parametrize("hostile", [False, True])
def test_nothing_is_cut_off_or_written_over(lab, rows, seeds, hostile):
    names = (HOSTILE * 2)[:rows] if hostile else [f"net{i + 1}" for i in range(rows)]
    lab.name = f"50%_&#$^~\\{{}} {LONG}" if hostile else "faces"
    for i, name in enumerate(names):
        name = f"{name} {i}" if i >= len(HOSTILE) else name
        published = {"valid_loss": 0.5} if i % 2 else {}
        parent = lab.rows[-1].variant.name if lab.rows else None
        lab.row(name, seeds, parent=parent, description=name * 2, published=published, epochs=3 + i)
    with drawing():
        curves = draw_curves(lab.study, Curves(lab.study, lab.store))
        for figure in (curves, draw_ladder(lab.table), draw_effects(lab.study, lab.table)):
            found = texts_of(figure)
            assert len(found) > 2 * rows
            for text, box in found:
                assert not text.get_parse_math()
                assert box.x0 >= 0, text
                assert box.y0 >= 0, text
                assert box.x1 <= figure.bbox.width, text
                assert box.y1 <= figure.bbox.height, text
            for (one, a), (other, b) in combinations(found, 2):
                width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
                assert width <= 1 or height <= 2, (one.get_text(), other.get_text())


def test_names_are_written_as_they_are(lab):
    lab.row("$x_1$ 50% \\alpha", 2)
    lab.row("b_c^d", 2, parent="$x_1$ 50% \\alpha")
    with drawing():
        said = {text.get_text() for text, _ in texts_of(draw_ladder(lab.table))}
    assert {"$x_1$ 50% \\alpha", "b_c^d"} <= said


def test_text_that_is_too_long_loses_its_middle():
    with drawing():
        short = fitted(LONG, 2.0)
        assert text_width(short) <= 2.0
        assert short.startswith("a name")
        assert short.endswith("001")
        assert "…" in short
        assert fitted("net1", 2.0) == "net1"
        assert [text_width(line) <= 2.0 for line in wrapped(LONG, 2.0).split("\n")] == [True, True]
        assert wrapped("one two", 2.0) == "one two"


# bytes


MAGIC = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.mark.slow
def test_the_same_numbers_give_the_same_bytes(lab, tmp_path):
    lab.ladder(3, 3)
    hashes = {}
    for format, magic in MAGIC.items():
        first = pictures(lab.study, lab.store, lab.table, format)
        assert set(first) == {f"{name}.{format}" for name in ("curves", "ladder", "effects")}
        assert all(content.startswith(magic) for content in first.values())
        assert pictures(lab.study, lab.store, lab.table, format) == first
        hashes |= {name: hashlib.blake2b(content).hexdigest() for name, content in first.items()}
    code = (
        "import sys, pathlib, hashlib; sys.path.insert(0, sys.argv[1]); from conftest import Lab; from test_pictures import MAGIC, pictures\n"
        "lab = Lab(pathlib.Path(sys.argv[2])).ladder(3, 3)\n"
        "for format in MAGIC:\n"
        "    for name, data in pictures(lab.study, lab.store, lab.table, format).items():\n"
        "        print(name, hashlib.blake2b(data).hexdigest())"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "again")]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, env=environment, cwd=Path(__file__).parents[2]
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == hashes


def test_a_compared_metric_has_its_curves_too(lab):
    lab.ladder(2, 2)
    lab.compare = Compare("accuracy", "higher")
    assert set(pictures(lab.study, lab.store, lab.table)) == {"curves.svg", "ladder.svg", "effects.svg", "metric.svg"}


def test_the_users_own_style_changes_nothing(lab):
    import matplotlib

    lab.ladder(2, 2)
    plain = picture("ladder", lab.study, lab.store, lambda: lab.table, "svg")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "text.usetex": True}):
        assert picture("ladder", lab.study, lab.store, lambda: lab.table, "svg") == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_formats_are_known_by_suffix():
    assert [picture_suffix(f"x.{s}") for s in ("png", "SVG", "pdf")] == ["png", "svg", "pdf"]
    with pytest.raises(ValueError, match=r"output \(=x.jpg\) must end in one of .png, .svg, .pdf."):
        picture_suffix("x.jpg")


def test_wrong_words_are_named(lab):
    lab.ladder(2, 1)
    with pytest.raises(
        ValueError,
        match=r"kind \(=effect\) must be one of curves, ladder, effects, predictions. Did you mean 'effects'",
    ):
        picture("effect", lab.study, lab.store, lambda: lab.table, "svg")
    with pytest.raises(ValueError, match=r"format \(=swg\) must be one of png, svg, pdf. Did you mean 'svg'"):
        pictures(lab.study, lab.store, lab.table, "swg")


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_letters_that_no_font_has_are_shown_as_codes_without_warnings(format, monkeypatch):
    monkeypatch.setattr(figure, "font_families", lambda: ["DejaVu Sans"])
    figure.letters.cache_clear()
    try:
        assert figure.readable("a$x$ é 数据\n") == "a$x$ é \\u6570\\u636e\n"
        with figure.drawing():
            warnings.simplefilter("error")
            drawn = figure.new_figure(4, 1)
            drawn.text(0, 0, figure.fitted("数据", 3))
            drawn.add_axes((0, 0, 1, 1)).set_title("猫 $x$")
            figure.picture_bytes(drawn, format)
        assert {text.get_text() for text in drawn.findobj(Text)} >= {"\\u6570\\u636e", "\\u732b $x$"}
    finally:
        figure.letters.cache_clear()
