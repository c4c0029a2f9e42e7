"""Other ways to compare a metric: means over the last epochs, logarithms, and trainings that fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.gather import gather
from ablate.recipe.variant import Compare, Failed, MeanOfLast

A, B = [0.5, 0.62, 0.48, 0.55], [0.4, 0.6, 0.41, 0.5]


def test_logarithms_are_compared_by_a_paired_t_test(make_study):
    row = gather(make_study({"a": (None, A), "b": ("a", B)}, Compare(scale="log"))).rows[1]
    logs = np.log(B) - np.log(A)
    test = stats.ttest_1samp(logs, 0)
    interval = test.confidence_interval()
    assert row.delta_parent == pytest.approx(logs.mean(), rel=1e-9)
    assert [row.ci_low, row.ci_high] == pytest.approx([interval.low, interval.high], rel=1e-9)
    assert row.p == pytest.approx(test.pvalue, rel=1e-9)
    assert row.valid_loss == pytest.approx(np.mean(B), rel=1e-9)


def test_the_smallest_effect_is_a_ratio(make_study):
    rows = {"a": (None, A), "b": ("a", [a * r for a, r in zip(A, (1.001, 0.999, 1.002, 0.998), strict=True)])}
    verdicts = [
        gather(make_study(rows, Compare(scale="log", smallest_effect=s))).rows[1].verdict for s in (1.01, 1.001)
    ]
    assert verdicts == ["no difference", "unclear"]


def test_a_value_without_a_logarithm_gives_a_note_and_no_verdict(make_study):
    row = gather(make_study({"a": (None, A), "b": ("a", [0.4, 0.0, 0.4, 0.5])}, Compare(scale="log"))).rows[1]
    assert (row.delta_parent, row.verdict) == (None, None)
    assert [note.seeds for note in row.notes if note.kind == "not_positive"] == [(1,)]


def test_the_mean_of_the_last_epochs_is_compared(make_study, make_run):
    curves = {f"{i:032x}": np.random.default_rng(i).uniform(0.1, 1, 8) for i in (*range(4), *range(10, 14))}
    runs = [
        [replace(make_run(i, 0.5 + i / 10), fingerprint=f"{i + start:032x}") for i in range(4)] for start in (0, 10)
    ]

    def read(name):
        return [{"epoch": i + 1, "valid_loss": float(v)} for i, v in enumerate(curves[name])]

    def table(count):
        return gather(
            make_study({"a": (None, runs[0]), "b": ("a", runs[1])}, Compare(at=MeanOfLast(count))), curves=read
        )

    means = [[curves[run.fingerprint][-3:].mean() for run in side] for side in runs]
    row = table(3).rows[1]
    assert row.delta_parent == pytest.approx(np.mean(np.subtract(means[1], means[0])), rel=1e-9)
    assert row.valid_loss == pytest.approx(np.mean(means[1]), rel=1e-9)
    short = table(9).rows[1]
    assert (short.valid_loss, short.delta_parent) == (None, None)
    assert "short_curve" in [note.kind for note in short.notes]


def test_a_variant_with_failed_seeds_has_a_median_and_no_verdict(make_study, make_run):
    runs = [make_run(0, 0.4), make_run(1, 2.0), make_run(2, 0.5), make_run(3, None, "diverged"), make_run(4, 0.6)]
    study = {"a": (None, [*A, 0.51]), "b": ("a", runs), "c": ("b", [*B, 0.43])}
    a, b, c = gather(make_study(study, Compare(failed=Failed(">", 1.5)))).rows
    assert (a.failed, b.failed, b.tally.ended, b.median, b.valid_loss, b.verdict) == (0, 2, 5, 0.6, None, None)
    assert (c.failed, c.verdict, c.delta_parent) == (0, None, None)
    assert [note.kind for note in c.notes] == ["parent_failed"]


def test_the_text_of_a_comparison_is_stable():
    old = "Compare(metric='a', better='higher', at='last', smallest_effect=0.1)"
    assert str(Compare("a", "higher", "last", 0.1)) == old
    assert Compare(at=MeanOfLast(5), scale="log").value_key == "mean_of_last: 5, log"
