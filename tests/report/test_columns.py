from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ablate.evidence.gather import Row
from ablate.evidence.seeds import Tally
from ablate.notes.note import Note
from ablate.recipe.variant import Compare
from ablate.report.column import cells
from ablate.report.columns import default_keys, select_columns
from ablate.report.numbers import deviation, difference, fixed, fixed_column, places, probability
from ablate.report.wording import plain, status_text

CLASSIC = ["Name", "Description", "Epochs", "Train loss", "Validation loss"]


def table_of(table, names=None, sort=None):
    table, columns = select_columns(table, names, sort)
    return cells(table, columns)


def column(table, name):
    return [row[0] for row in table_of(table, [name]).rows]


def test_one_seed_shows_the_classic_table(keypoints):
    assert table_of(keypoints(seeds=1)).titles == CLASSIC


def test_several_seeds_show_the_evidence(keypoints):
    shown = table_of(keypoints())
    assert shown.titles == [*CLASSIC, "± sd", "Δ parent", "Verdict"]
    assert shown.alignments == ["left", "left"] + ["right"] * 5 + ["left"]
    assert shown.rows[1] == [
        "net2",
        "convolutions",
        "1000",
        "0.001010",
        "0.001523",
        "±0.000031",
        "-0.001732 [-0.001810, -0.001650]",
        "helps",
    ]
    assert shown.rows[0][-2:] == ["", ""]
    assert shown.rows[2][2] == "3000"


def test_what_is_unclear_says_how_large_it_may_be_and_what_more_seeds_would_show(keypoints):
    table = keypoints()
    for values, text in (
        ({}, "unclear (within ±0.00030)"),
        ({"ci_low": -0.0012}, "unclear (within ±0.0012)"),
        ({"detectable": 0.000214, "detectable_seeds": 10}, "unclear (within ±0.00030; 10 seeds would show 0.00021)"),
        ({"ci_low": None, "ci_high": None}, "unclear"),
    ):
        rows = (*table.rows[:2], replace(table.rows[2], **values))
        assert column(replace(table, rows=rows), "verdict") == ["", "helps", text]
    assert select_columns(table, ["verdict"])[1][0].value(table.rows[2]) == "unclear"


def test_a_difference_to_an_unlike_parent_is_marked(keypoints):
    table = keypoints()
    table = replace(
        table,
        rows=(
            *table.rows[:2],
            replace(table.rows[2], unlike=(Note("other_epochs", values={"own": 3000, "parent": 1000}),)),
        ),
    )
    assert column(table, "delta_parent")[1:] == [
        "-0.001732 [-0.001810, -0.001650]",
        "‡+0.000077 [-0.000100, +0.000300]",
    ]
    assert column(table, "delta_baseline")[2] == "-0.001655"
    assert column(table, "unlike") == ["", "", "3,000 epochs (parent: 1,000)"]


def test_the_interval_to_the_baseline_and_the_costs(keypoints):
    table = keypoints()
    row = replace(
        table.rows[2],
        baseline_ci_low=-0.002,
        baseline_ci_high=-0.0013,
        effect_size=0.4567,
        gain_per_minute=0.0104,
        p=0.2,
    )
    table = replace(table, rows=(*table.rows[:2], replace(row, compared_last=0.0016, compared_best=0.00155)))
    assert column(table, "delta_baseline")[2] == "-0.001655 [-0.002000, -0.001300]"
    assert column(table, "effect_size") == ["", "", "+0.46"]
    assert column(table, "gain_per_minute")[2] == "0.01040"
    assert column(table, "p")[2] == "0.200"
    assert [column(table, f"compared_{at}")[2] for at in ("last", "best")] == ["0.001600", "0.001550"]


def test_published_numbers_stand_beside_ours(keypoints):
    given = Row("net4", published={"valid_loss": 0.00156, "train_loss": 0.001}, tally=Tally())
    assert default_keys(keypoints(given))[4:7] == ["valid_loss", "spread", "published"]
    assert default_keys(keypoints(given, seeds=1))[4:6] == ["valid_loss", "published"]
    assert column(keypoints(given), "published") == ["", "", "", "0.001560"]
    assert column(keypoints(given), "published_train_loss")[-1] == "0.001000"
    only_train = replace(given, published={"train_loss": 0.001})
    assert "Published train loss" in table_of(keypoints(only_train)).titles


def test_the_compared_metric_is_shown_with_its_spread(keypoints):
    scored = Row(
        "net4", status="finished", seeds=2, metrics={"accuracy": 0.91234, "accuracy_sd": 0.0123}, tally=Tally(2, 2)
    )
    table = keypoints(scored, compare=Compare("accuracy", "higher"), metrics=("accuracy",))
    assert default_keys(table)[4:7] == ["valid_loss", "accuracy", "spread"]
    assert table_of(table).rows[-1][5:7] == ["0.912", "±0.012 (2)"]


def test_a_metric_may_be_called_like_a_column(keypoints):
    scored = Row("net4", status="finished", metrics={"status": 0.25, "status_sd": None}, tally=Tally())
    table = keypoints(scored, compare=Compare("status", "higher"), metrics=("status",))
    assert column(table, "metric_status")[-1] == "0.2500"
    assert column(table, "status")[-1] == "finished"
    assert "metric_status" in default_keys(table)


def test_the_train_loss_can_be_what_is_compared(keypoints):
    keys = default_keys(keypoints(compare=Compare("train_loss")))
    assert keys[3:6] == ["train_loss", "spread", "valid_loss"]


def test_a_compared_metric_that_nobody_measured_shows_no_column(keypoints):
    assert "nothing" not in default_keys(keypoints(compare=Compare("nothing")))
    assert len(table_of(keypoints(compare=Compare("nothing"))).titles) == 8


def test_status_appears_where_a_row_is_not_finished(keypoints):
    assert "status" not in default_keys(keypoints())
    assert default_keys(keypoints(Row("net4")))[-1] == "status"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (Row("a", status="finished"), "finished"),
        (Row("a", status="diverged", tally=Tally(5, 3, 2)), "2/5 diverged"),
        (Row("a", status="diverged", tally=Tally(1, 0, 1)), "diverged"),
        (Row("a", status="failed", tally=Tally(1, 0, 1, "no\nluck")), "failed: no luck"),
        (Row("a", status="failed", tally=Tally(5, 4, 1, "no luck")), "1/5 failed: no luck"),
        (Row("a", status="failed", tally=Tally(1, 0, 1, "")), "failed"),
        (Row("a", status="out_of_memory", tally=Tally(1, 0, 1, "12 GiB")), "out of memory"),
        (Row("a", status="timeout", tally=Tally(2, 1, 1)), "1/2 timed out"),
        (Row("a", status="running", tally=Tally(1, 0, 1, "", 12, 50)), "running 12/50"),
        (
            Row("a", status="running", seeds=2, tally=Tally(5, 2, 1, "", 12, 50)),
            "2/5 seeds finished, others running 12/50",
        ),
        (Row("a", status="interrupted", tally=Tally(1, 0, 1, "", 12, 50)), "interrupted 12/50"),
        (Row("a", status="queued", seeds=2, tally=Tally(5, 2, 3)), "2/5 seeds finished, others not started"),
        (Row("a", status="stale", tally=Tally(1, 0, 1)), "outdated"),
        (Row("a", status="no_effect", tally=Tally(5, 0, 5)), "no effect"),
    ],
)
def test_status_text(row, text):
    assert status_text(row) == text


def test_a_long_reason_is_cut():
    text = status_text(Row("a", status="failed", tally=Tally(1, 0, 1, "x" * 500)))
    assert len(text) < 80
    assert text.endswith("x…")


def test_means_over_fewer_seeds_are_marked(keypoints):
    row = Row("net4", None, "", (), "running", 2, 9, valid_loss=0.002, valid_loss_sd=0.0001, tally=Tally(5, 2, 1))
    assert column(keypoints(row), "valid_loss")[-1] == "†0.002000"
    assert column(keypoints(row), "spread")[-1] == "±0.00010 (2/5)"
    assert column(keypoints(row), "train_loss")[-1] == "–"
    assert column(keypoints(row), "valid_loss")[0] == "0.003255"


def test_one_finished_seed_has_no_spread_but_its_number(keypoints):
    row = Row("net4", None, "", (), "running", 1, 9, valid_loss=0.002, tally=Tally(5, 1, 1))
    assert column(keypoints(row), "spread")[-1] == "(1/5)"


def test_columns_by_key_title_or_alias(keypoints):
    assert table_of(keypoints(), ["name", "Validation loss", "best-epoch", "± sd (n)", "P (holm)"]).titles == [
        "Name",
        "Validation loss",
        "Best epoch",
        "± sd",
        "p (Holm)",
    ]


def test_an_unknown_column_names_the_nearest(keypoints):
    with pytest.raises(
        ValueError, match=re.escape("columns (=valid_los) is not a column of this table. Did you mean 'valid_loss'?")
    ):
        select_columns(keypoints(), ["valid_los"])
    with pytest.raises(ValueError, match=r"sort \(=zzz\) is not a column of this table. Available: variant, from"):
        select_columns(keypoints(), None, "zzz")


def test_sorting(keypoints):
    blank = Row("empty")
    assert column(select_columns(keypoints(blank), None, "valid_loss")[0], "name") == ["net2", "net3", "net1", "empty"]
    assert column(select_columns(keypoints(blank), None, "-valid_loss")[0], "name") == ["net1", "net3", "net2", "empty"]
    assert column(select_columns(keypoints(blank), None, "description")[0], "name") == ["net3", "net2", "net1", "empty"]


def test_other_columns(keypoints):
    table = keypoints()
    assert column(table, "seconds") == ["–", "100.4", "9.88"]
    assert column(table, "parameters") == ["–", "1,234,567", "1,234,567"]
    assert column(table, "p_adjusted") == ["", "<0.001", "0.400"]
    assert column(table, "delta_baseline") == ["", "-0.001732", "-0.001655"]
    assert column(table, "ci_low") == ["", "-0.001810", "-0.000100"]
    assert column(table, "changes") == ["", "+ convolutions", "+ flip"]
    assert column(table, "from") == ["", "net1", "net2"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.002244, 0.003255], ["0.002244", "0.003255"]),
        ([2.30258, 0.01234], ["2.303", "0.012"]),
        ([0.0713578, 0.2468, 0.0005], ["0.07136", "0.24680", "0.00050"]),
        ([97.31, 98.5], ["97.31", "98.50"]),
        ([12345.6, 23456.7], ["12346", "23457"]),
        ([1.0, 1e-7], ["1.000", "1.000e-07"]),
        ([1e-9, 3e-9], ["1.000e-09", "3.000e-09"]),
        ([3.2e12], ["3.200e+12"]),
        ([0.0, None, 0.5], ["0.0000", "–", "0.5000"]),
        ([-0.5], ["-0.5000"]),
        ([], []),
    ],
)
def test_fixed_column(values, texts):
    assert fixed_column(values) == texts


@pytest.mark.parametrize(
    ("values", "sds", "texts"),
    [
        ([1.026, 0.762, 8e8], [0.011, 0.012, 7e8], ["1.026", "0.762", "8.000e+08"]),
        ([1.026, 0.762, 54321.0, 43210.0], [0.011, 0.012, 900.0, 800.0], ["1.026", "0.762", "54321", "43210"]),
        ([1.026, 0.762, 9e5], [None, None, None], ["1.026", "0.762", "900000"]),
        ([0.5123, 2.30259], [0.0101, 0.0000012], ["0.512", "2.303"]),
        ([0.0, 0.5123, 9e5], [0.0, 0.0101, 8e5], ["0", "0.512", "900000"]),
    ],
)
def test_what_explodes_takes_no_digits_from_the_others(values, sds, texts):
    assert fixed_column(values, sds) == texts


def test_what_explodes_takes_no_digits_from_the_differences_of_others(keypoints):
    hot = Row(
        "hot", "net1", status="finished", seeds=5, valid_loss=5.2e4, valid_loss_sd=300.0,
        delta_parent=5.2e4, ci_low=5.1e4, ci_high=5.3e4, tally=Tally(5, 5),
    )  # fmt: skip
    table = keypoints(hot)
    assert column(table, "delta_parent")[1:3] == column(keypoints(), "delta_parent")[1:]
    assert column(table, "valid_loss")[:3] == column(keypoints(), "valid_loss")
    assert column(table, "delta_parent")[3] == "+52000 [+51000, +53000]"


def test_numbers_one_by_one():
    assert [deviation(v) for v in (0.0000312, 0.5, 12.3, 1234.0, 0.0, None, 1e-12)] == [
        "0.000031",
        "0.50",
        "12",
        "1234",
        "0",
        "–",
        "1.000e-12",
    ]
    assert difference(0.5, None, None, 2) == "+0.50"
    assert difference(-0.0, 0.0, 0.0, 2) == "0.00 [0.00, 0.00]"
    assert difference(None, None, None, 2) == ""
    assert [probability(p) for p in (None, 0.0, 0.0009, 0.001, 0.05, 1.0)] == [
        "",
        "<0.001",
        "<0.001",
        "0.001",
        "0.050",
        "1.000",
    ]
    assert places([], 4) == 3
    assert fixed(-1.5, 1, "+") == "-1.5"


def test_small_differences_get_more_places_than_the_losses(keypoints):
    tiny = Row("net4", "net3", status="finished", valid_loss=0.5, delta_parent=-0.00001234, tally=Tally())
    table = replace(keypoints(), rows=(Row("net0", status="finished", valid_loss=0.5), tiny))
    assert column(table, "delta_parent")[-1] == "-0.000012"


def test_plain_text_is_one_line_without_control():
    assert plain("a\nb\t c\x1b[31m\u202ed\x00") == "a b c[31md"
    assert plain("größe 漢字 👩‍🔬") == "größe 漢字 👩‍🔬"
