from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.evidence.gather import Row
from ablate.evidence.seeds import Tally
from ablate.evidence.table import Family
from ablate.notes.note import Note
from ablate.recipe.variant import Compare
from ablate.report.columns import available
from ablate.report.summary import MOST, summary


def text(words):
    return Note("text", values={"text": words})


def epochs(own, parent):
    return Note("other_epochs", values={"own": own, "parent": parent})


def test_five_seeds(keypoints):
    first, second = summary(keypoints())
    assert first.startswith(
        "± sd over 5 seeds. Δ parent: valid_loss minus the parent's, paired by seed (lower is better)"
    )
    assert "95% confidence interval, not adjusted for multiple comparisons" in first
    assert "moderated paired t-test, Holm-corrected over 2 planned comparisons" in second
    assert "helps/hurts: significant" in second
    assert "unclear: not significant" in second
    assert "no difference" not in second


def test_one_comparison_is_neither_moderated_nor_corrected(keypoints):
    table = keypoints()
    line = summary(replace(table, rows=table.rows[:2], family=Family(1)))[-1]
    assert line.startswith("Verdict: paired t-test, 5% level")
    assert "unclear" not in line


def test_words_of_verdicts_are_explained_where_they_stand(keypoints):
    table = keypoints(compare=Compare(smallest_effect=0.002))
    first, second, third = table.rows
    rows = (first, replace(second, verdict="no difference"), replace(third, detectable=0.0004, detectable_seeds=10))
    line = summary(replace(table, rows=rows))[1]
    assert "no difference: interval within ±0.002" in line
    assert "80% power" in line
    assert "helps" not in line
    same = replace(keypoints(), rows=rows)
    assert "no difference: same results as the parent" in summary(same)[1]


def test_seeds_that_differ_in_number_are_counted(keypoints):
    fewer = Row("net4", "net3", status="failed", seeds=3, valid_loss=0.1, valid_loss_sd=0.01, tally=Tally(5, 3))
    assert summary(keypoints(fewer))[0].startswith("± sd (n) over n finished seeds.")


def test_differences_from_the_parent_are_one_line(keypoints):
    table = keypoints()
    torch = Note("other_torch", values={"own": ["2.13.0"], "parent": ["2.12.1"]})
    second, third = (
        replace(table.rows[1], unlike=(epochs(20, 8),)),
        replace(table.rows[2], unlike=(epochs(60, 20), torch)),
    )
    table = replace(table, rows=(table.rows[0], second, third))
    expected = (
        "‡ epochs differ from the parent's: net2 (20, parent: 8), net3 (60, parent: 20); "
        "torch versions differ from the parent's: net3 (2.13.0, parent: 2.12.1)."
    )
    assert expected in summary(table)
    assert "net3: ‡ 60 epochs (parent: 20); ‡ torch 2.13.0 (parent: 2.12.1)." in summary(table, details=True)
    assert not any("‡" in line for line in (*summary(keypoints()), *summary(table, ["variant", "verdict"])))


def noted(table, *notes):
    """The table with these notes on every row, and one row more that diverged; the epochs differ, too."""
    rows = (*table.rows, Row("net4", status="diverged", verdict="unstable", tally=Tally(5, 3, 2)))
    return replace(table, rows=tuple(replace(row, notes=notes, unlike=(epochs(2, 1),)) for row in rows))


def test_a_legend_has_few_lines_whatever_there_is_to_note(keypoints):
    kinds = ("identical", "init_not_paired", "same_result", "parent_unfinished", "same_difference")
    table = noted(keypoints(), *map(Note, kinds))
    lines = summary(table)
    bugs = len({"identical", "same_result"})
    assert len(lines) == MOST + bugs
    assert lines[-1].endswith("more notes: add --notes.")
    every = list(available(table))
    assert len(summary(table, every)) == MOST + bugs
    assert lines[2 + bugs].startswith("‡ epochs")
    assert "unstable: " in lines[2 + bugs]
    hidden = int(lines[-1].split()[0])
    assert hidden + MOST - 1 > len(kinds) - bugs

    details = "\n".join(summary(table, details=True))
    for row in table.rows[1:]:
        assert f"{row.variant}: ‡ 2 epochs" in details
    assert details.count("all variants: ") == 1
    assert "--notes" not in details


def test_why_a_variant_ended_badly_is_never_hidden(keypoints):
    kinds = ("init_not_paired", "parent_unfinished", "same_difference")
    reason = Note("ended_badly", values={"status": "diverged", "reason": "the loss is not finite in epoch 3"})
    lines = summary(noted(keypoints(), *map(Note, kinds), reason))
    assert any("not finite in epoch 3" in line for line in lines)
    assert lines[-1].endswith("add --notes.")


def test_notes_of_one_kind_are_one_line(keypoints):
    table = keypoints()
    rows = [replace(row, notes=(Note("identical"),)) for row in table.rows[1:]]
    lines = summary(replace(table, rows=(table.rows[0], *rows)))
    assert [line for line in lines if "identical" in line] == [
        "net2, net3: results identical to the parent's for all seeds."
    ]


def test_notes_that_tell_of_bugs_come_first(keypoints):
    table = keypoints()
    notes = (text("a"), text("b"), Note("parent_unfinished"), Note("same_result"))
    table = replace(table, rows=(*table.rows[:2], replace(table.rows[2], notes=notes)))
    assert "identical results" in summary(table)[2]


def test_columns_of_cost_and_size_are_explained(keypoints):
    table = keypoints()
    rows = (*table.rows[:2], replace(table.rows[2], effect_size=0.4, gain_per_minute=0.1))
    lines = summary(replace(table, rows=rows), ["variant", "effect_size", "gain_per_minute"])
    assert [line.split(":")[0] for line in lines] == ["Effect size", "Gain per minute"]
    assert summary(table, ["variant", "effect_size", "gain_per_minute"]) == []


def test_one_seed(keypoints):
    [line] = summary(keypoints(seeds=1))
    assert line.startswith("With one seed")
    assert "--seeds 3" in line


def test_two_seeds(keypoints):
    table = keypoints(seeds=2)
    table = replace(table, rows=tuple(replace(row, p_adjusted=None, verdict=None) for row in table.rows))
    assert "--seeds 3" in summary(table)[-1]
    assert not any("Holm" in line for line in summary(table))


def test_what_is_compared_is_said(keypoints):
    lines = summary(keypoints(compare=Compare("accuracy", "higher", "last"), metrics=("accuracy",)))
    assert any(
        line.startswith("Δ parent: accuracy minus the parent's at the last epoch, paired by seed (higher is better)")
        for line in lines
    )


def test_only_what_is_shown_is_explained(keypoints):
    assert summary(keypoints(), ["variant", "valid_loss"]) == []
    lines = summary(keypoints(), ["variant", "delta_baseline"])
    assert lines == ["Δ baseline: valid_loss minus the baseline's, paired by seed (lower is better)."]
    both = summary(keypoints(), ["delta_parent", "delta_baseline"])
    assert both[0].startswith("Δ parent, Δ baseline: valid_loss minus the parent's or the baseline's, paired")


def test_marks_and_notes(keypoints):
    init = Note("init_not_paired")
    partial = Row("net4", status="running", seeds=1, valid_loss=1.0, notes=(init,), tally=Tally(5, 1, 1))
    broken = Row("net5", status="diverged", verdict="unstable", notes=(text("a"), text("b\nc")), tally=Tally(5, 3, 2))
    lines = summary(keypoints(partial, broken), details=True)
    assert any(line.startswith("† mean over finished seeds only") and "unstable: " in line for line in lines)
    assert lines[-2].startswith("net4: initial weights")
    assert lines[-1] == "net5: a; b c."
    assert not any("†" in line for line in summary(keypoints(partial), ["variant", "epochs"]))


@pytest.mark.parametrize("details", [False, True])
def test_a_full_stop_is_not_doubled(keypoints, details):
    table = keypoints()
    failed = Note("ended_badly", seeds=(0,), values={"status": "failed", "reason": "no such file. Name another."})
    rows = (*table.rows[:2], replace(table.rows[2], notes=(failed,)))
    lines = summary(replace(table, rows=rows), details=details)
    assert lines[-1] == "net3: failed: no such file. Name another (seed 0)."
    rows = tuple(replace(row, notes=(text("Drop it."),)) for row in table.rows)
    assert summary(replace(table, rows=rows), details=details)[-1] == "all variants: Drop it."


def test_published(keypoints):
    given = Row("net4", status="finished", published={"valid_loss": 0.1}, tally=Tally())
    assert any(line.startswith("Published: valid_loss") for line in summary(keypoints(given)))
