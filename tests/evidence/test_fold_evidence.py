"""Evidence from cross-validation: a seed's folds count once; one seed's folds are judged with the corrected variance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.gather import gather
from ablate.evidence.paired import effect, fold_spread
from ablate.notes.note import Note
from ablate.report.columns import default_keys
from ablate.report.formats import render
from ablate.report.summary import summary


def folds_of(make_run, values, **facts):
    """Runs from (seeds, folds) of losses."""
    return [
        make_run(seed, loss, fold=fold, fingerprint=f"{seed}-{fold}", **facts)
        for seed, row in enumerate(values)
        for fold, loss in enumerate(row)
    ]


@pytest.fixture
def make_run(make_run):
    from dataclasses import replace

    def make(seed, loss, fingerprint="", **facts):
        return replace(make_run(seed, loss, **facts), fingerprint=fingerprint)

    return make


@pytest.mark.parametrize("k", [3, 5, 10])
def test_the_corrected_variance_is_nadeau_and_bengios(k):
    """Their t, written out: the mean over sqrt((1/k + n2/n1) s²), where n2/n1 is 1/(k − 1), with k − 1 degrees of
    freedom.
    """
    sample = np.random.default_rng(k).standard_normal(k) + 0.8
    found = effect(sample, fold_spread(sample, k))
    error = math.sqrt((1 / k + (1 / k) / (1 - 1 / k)) * sample.var(ddof=1))
    t = sample.mean() / error
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), k - 1), rel=1e-10)
    half = stats.t.ppf(0.975, k - 1) * error
    assert (found.low, found.high) == pytest.approx((sample.mean() - half, sample.mean() + half), rel=1e-10)
    assert found.p > stats.ttest_1samp(sample, 0).pvalue


def test_one_seed_is_judged_by_its_folds(make_study, make_run):
    draw = np.random.default_rng(0)
    parent = 0.5 + 0.02 * draw.standard_normal((1, 8))
    better = parent - 0.2 + 0.005 * draw.standard_normal((1, 8))
    worse = parent + 0.01 * draw.standard_normal((1, 8))
    study = make_study(
        {
            "a": (None, folds_of(make_run, parent)),
            "b": ("a", folds_of(make_run, better)),
            "c": ("a", folds_of(make_run, worse)),
        }
    )
    table = gather(study)
    a, b, c = table.rows
    assert (a.seeds, a.folds, a.repeats, table.unit, table.planned) == (1, 8, 8, "fold", 8)
    assert a.valid_loss == pytest.approx(parent.mean())
    assert a.valid_loss_sd == pytest.approx(parent.std(ddof=1))
    for row, values in ((b, better), (c, worse)):
        d = (values - parent)[0]
        t = d.mean() / math.sqrt((1 / 8 + 1 / 7) * d.var(ddof=1))
        assert row.p == pytest.approx(2 * stats.t.sf(abs(t), 7), rel=1e-10)
    assert (b.verdict, c.verdict, c.detectable) == ("helps", "unclear", None)
    text = render(table, "md")
    assert "over 8 folds of one seed" in text
    assert "| unclear" in text
    assert "seeds would show" not in text
    lines = "\n".join(summary(table))
    assert "paired by fold" in lines
    assert "Nadeau and Bengio 2003" in lines
    assert "One seed" not in lines
    assert "verdict" in default_keys(table)


def test_folds_of_several_seeds_count_once(make_study, make_run):
    draw = np.random.default_rng(1)
    parent = 0.5 + 0.02 * draw.standard_normal((4, 3))
    child = parent - 0.05 + 0.01 * draw.standard_normal((4, 3))
    table = gather(make_study({"a": (None, folds_of(make_run, parent)), "b": ("a", folds_of(make_run, child))}))
    a, b = table.rows
    assert (a.seeds, a.folds, table.unit) == (4, 3, "seed")
    assert a.valid_loss_sd == pytest.approx(parent.mean(1).std(ddof=1))
    expected = stats.ttest_rel(child.mean(1), parent.mean(1))
    assert b.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert b.delta_parent == pytest.approx((child - parent).mean())
    assert "over 4 seeds, each the mean of 3 folds" in "\n".join(summary(table))


def test_a_fold_that_is_missing_leaves_its_seed_out(make_study, make_run):
    runs = folds_of(make_run, 0.5 + 0.1 * np.random.default_rng(2).random((3, 2)))
    runs[-1] = make_run(2, None, status="queued", fold=1)
    row = gather(make_study({"a": (None, runs)})).rows[0]
    assert (row.seeds, row.tally.planned, row.status) == (2, 3, "queued")
    one = folds_of(make_run, 0.5 + 0.1 * np.random.default_rng(3).random((1, 4)))
    one[2] = make_run(0, None, status="running", fold=2)
    table = gather(make_study({"a": (None, one)}))
    row = table.rows[0]
    assert (row.seeds, row.repeats, row.partial) == (0, 3, True)
    assert Note("unfinished", values={"finished": 3, "planned": 4}) in row.notes
    assert "(1×3/4)" in render(table, "md", ["spread"])
    assert "3/4 folds finished, others running 0/50" in render(table, "md", ["status"])


def test_a_diverged_fold_makes_a_row_unstable(make_study, make_run):
    runs = folds_of(make_run, [[0.5, 0.6, 0.7]])
    runs[1] = make_run(0, None, status="diverged", fold=1)
    table = gather(make_study({"a": (None, runs), "b": ("a", folds_of(make_run, [[0.4, 0.5, 0.6]]))}))
    assert table.rows[0].verdict == "unstable"
    assert table.rows[1].notes == (Note("parent_diverged", seeds=(1,)),)


def test_an_interaction_over_folds_has_the_corrected_variance(make_study, make_run):
    from dataclasses import replace

    draw = np.random.default_rng(4)
    values = {name: 0.5 + 0.02 * draw.standard_normal((1, 6)) for name in ("base", "a", "b", "ab")}
    parents = {"base": None, "a": "base", "b": "base", "ab": "a"}
    study = make_study({name: (parents[name], folds_of(make_run, v)) for name, v in values.items()})
    both = replace(study.rows[3], variant=replace(study.rows[3].variant, of=("a", "b")))
    row = gather(replace(study, rows=(*study.rows[:3], both))).rows[3]
    sample = (values["ab"] - values["a"] - values["b"] + values["base"])[0]
    t = sample.mean() / math.sqrt((1 / 6 + 1 / 5) * sample.var(ddof=1))
    assert row.interaction == pytest.approx(sample.mean())
    assert row.interaction_p == pytest.approx(2 * stats.t.sf(abs(t), 5), rel=1e-10)
