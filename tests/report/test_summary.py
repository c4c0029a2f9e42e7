from __future__ import annotations

from dataclasses import replace

from ablate.evidence.gather import Row
from ablate.evidence.seeds import Tally
from ablate.recipe.variant import Compare
from ablate.report.summary import summary


def test_five_seeds(keypoints):
    assert summary(keypoints()) == [
        "± sd (n): standard deviation of valid_loss over n finished seeds.",
        "Δ parent: valid_loss minus its parent's, paired by seed (lower is better), with the 95 % interval.",
        "Verdict: a t test on the differences by seed, whose scatter is judged together with the other rows' as far as they scatter alike, "
        "about 5 % false alarms at most over all 2 comparisons together (Holm).",
    ]


def test_one_comparison_has_nothing_to_judge_together(keypoints):
    table = keypoints()
    table = replace(table, rows=table.rows[:2])
    assert summary(table)[-1] == "Verdict: a t test on the differences by seed, 5 % false alarms."


def test_words_of_verdicts_are_explained_where_they_stand(keypoints):
    table = keypoints(compare=Compare(smallest_effect=0.002))
    first, second, third = table.rows
    rows = (first, replace(second, verdict="no difference"), replace(third, more_seeds=4))
    assert summary(replace(table, rows=rows))[-2:] == [
        "no difference: the interval lies within ±0.002 (compare.smallest_effect).",
        "more seeds: about so many would give a verdict, if difference and scatter are what they seem (power 80 %).",
    ]


def test_rows_unlike_their_parent_are_marked_and_told(keypoints):
    table = keypoints()
    rows = (
        *table.rows[:2],
        replace(table.rows[2], unlike=("3000 epochs, its parent 1000", "torch 2.13.0, its parent 2.12.1")),
    )
    lines = summary(replace(table, rows=rows))
    assert lines[-1] == "net3: ‡ 3000 epochs, its parent 1000; ‡ torch 2.13.0, its parent 2.12.1."
    assert (
        "‡ row and parent are unlike in more than the row's change, so the difference is not that change's alone."
        in lines
    )
    assert not any(line.startswith("‡ row") for line in summary(table))


def test_columns_of_cost_and_size_are_explained(keypoints):
    table = keypoints()
    rows = (*table.rows[:2], replace(table.rows[2], effect_size=0.4, gain_per_minute=0.1))
    lines = summary(replace(table, rows=rows), ["variant", "effect_size", "gain_per_minute"])
    assert [line.split(":")[0] for line in lines] == ["Effect (sd)", "Gain a minute"]
    assert summary(table, ["variant", "effect_size", "gain_per_minute"]) == []


def test_one_seed(keypoints):
    assert summary(keypoints(seeds=1)) == [
        "One seed: differences may be chance. Two seeds give intervals, three give verdicts (--seeds 3)."
    ]


def test_two_seeds(keypoints):
    table = keypoints(seeds=2)
    table = replace(table, rows=tuple(replace(row, p_adjusted=None, verdict=None) for row in table.rows))
    assert summary(table)[-1] == "Two seeds give intervals; verdicts take three (--seeds 3)."
    assert not any("Holm" in line for line in summary(table))


def test_what_is_compared_is_said(keypoints):
    lines = summary(keypoints(compare=Compare("accuracy", "higher", "last"), metrics=("accuracy",)))
    assert any(
        line.startswith("Δ parent: accuracy minus its parent's at the last epoch, paired by seed (higher is better)")
        for line in lines
    )


def test_only_what_is_shown_is_explained(keypoints):
    assert summary(keypoints(), ["variant", "valid_loss"]) == []
    lines = summary(keypoints(), ["variant", "delta_baseline"])
    assert lines == ["Δ baseline: valid_loss minus the baseline's, paired by seed (lower is better)."]
    both = summary(keypoints(), ["delta_parent", "delta_baseline"])
    assert both[0].startswith("Δ parent, Δ baseline: valid_loss minus its parent's, the baseline's, paired")


def test_marks_and_notes(keypoints):
    partial = Row("net4", status="running", seeds=1, valid_loss=1.0, notes=("init not paired",), tally=Tally(5, 1, 1))
    broken = Row("net5", status="diverged", verdict="unstable", notes=("a", "b\nc"), tally=Tally(5, 3, 2))
    lines = summary(keypoints(partial, broken))
    assert "† mean over the finished seeds only." in lines
    assert "unstable: a seed diverged, so there is no mean." in lines
    assert lines[-2:] == ["net4: init not paired.", "net5: a; b c."]
    assert "† mean over the finished seeds only." not in summary(keypoints(partial), ["variant", "epochs"])


def test_a_full_stop_is_not_doubled(keypoints):
    table = keypoints()
    row = replace(table.rows[2], notes=("failed: no such file. Name another.", "slow."))
    lines = summary(replace(table, rows=(*table.rows[:2], row)))
    assert lines[-1] == "net3: failed: no such file. Name another; slow."
    rows = tuple(replace(row, notes=("Drop it.",)) for row in table.rows)
    assert summary(replace(table, rows=rows))[-1] == "all rows: Drop it."


def test_what_is_true_of_all_rows_is_said_once(keypoints):
    table = keypoints()
    rows = tuple(replace(row, notes=("2 torch versions", *row.notes)) for row in table.rows)
    rows = (*rows[:2], replace(rows[2], notes=(*rows[2].notes, "slow")))
    assert summary(replace(table, rows=rows))[-2:] == ["all rows: 2 torch versions.", "net3: slow."]


def test_published(keypoints):
    given = Row("net4", status="finished", published={"valid_loss": 0.1}, tally=Tally())
    assert "Published: valid_loss as the recipe quotes it." in summary(keypoints(given))
