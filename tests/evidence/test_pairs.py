"""Interactions in the table: planted ones are reported, with the seeds and states that they may be taken from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ablate.data.dataset import TargetScaling
from ablate.evidence.gather import gather
from ablate.report.formats import render
from ablate.report.summary import summary
from ablate.store.records import StudyRecord

SHIFT = {"plain": 0.0, "only a": -0.3, "only b": -0.2, "only c": -0.1, "a + b": -0.5, "a + c": -0.4, "b + c": -0.3}


@pytest.fixture
def pairs(make_study):
    """A study of three changes; ``planted`` is what a and b are worth more together than apart."""

    def make(planted: float = 0.0, seeds: int = 6, sd: float = 0.02) -> StudyRecord:
        draw = np.random.default_rng(11)
        shared = draw.standard_normal(seeds) * 0.2
        rows = {}
        for name, shift in SHIFT.items():
            extra = planted if name == "a + b" else 0.0
            values = 2 + shift + extra + shared + sd * draw.standard_normal(seeds)
            parent = None if name == "plain" else f"only {name[0]}" if "+" in name else "plain"
            rows[name] = (parent, [float(v) for v in values])
        study = make_study(rows)
        records = []
        for record in study.rows:
            one, _, other = record.variant.name.partition(" + ")
            of = (f"only {one}", f"only {other}") if other else ()
            records.append(replace(record, variant=replace(record.variant, of=of)))
        return replace(study, rows=tuple(records))

    return make


def test_a_planted_interaction_is_reported(pairs):
    rows = {row.variant: row for row in gather(pairs(planted=-0.15)).rows}
    both = rows["a + b"]
    assert both.interaction_low < -0.15 < both.interaction_high < 0
    assert both.interaction_p < 0.05
    for name in ("a + c", "b + c"):
        assert rows[name].interaction_low < 0 < rows[name].interaction_high
        assert rows[name].interaction_p > 0.05
    assert [rows[name].interaction for name in ("plain", "only a", "only b")] == [None] * 3


def test_by_hand(pairs):
    study = pairs(planted=0.1)
    values = {r.variant.name: np.array([run.results["last"]["valid_loss"] for run in r.runs]) for r in study.rows}
    sample = (values["a + b"] - values["only a"]) - (values["only b"] - values["plain"])
    row = next(row for row in gather(study).rows if row.variant == "a + b")
    from scipy import stats

    expected = stats.ttest_1samp(sample, 0)
    assert row.interaction == pytest.approx(sample.mean(), abs=1e-12)
    assert (row.interaction_low, row.interaction_high) == pytest.approx(
        tuple(expected.confidence_interval()), abs=1e-10
    )
    raw = [
        stats.ttest_1samp(
            (values[f"{x} + {y}"] - values[f"only {x}"]) - (values[f"only {y}"] - values["plain"]), 0
        ).pvalue
        for x, y in ("ab", "ac", "bc")
    ]
    # the smallest of three p-values takes Holm's whole factor
    assert raw[0] == min(raw)
    assert row.interaction_p == pytest.approx(3 * raw[0], rel=1e-9)


def test_the_table_has_a_column_and_says_what_it_means(pairs):
    table = gather(pairs(planted=-0.15))
    text = render(table, "md")
    assert "Interaction" in text.splitlines()[0]
    marked = [line for line in text.splitlines() if line.startswith("|") and "\\*-0." in line]
    assert [line.split("|")[1].strip() for line in marked] == ["a + b"]
    said = "\n".join(summary(table))
    assert "Interaction: " in said
    assert "* significant (paired t-test, Holm-corrected over 3 planned interactions)" in said
    assert "* significant" not in "\n".join(summary(gather(pairs(planted=0.0, seeds=2))))


def test_other_studies_have_no_such_column(make_study):
    table = gather(make_study({"net1": (None, [1.0, 2.0]), "net2": ("net1", [0.5, 1.6])}))
    assert "Interaction" not in render(table, "md")
    assert "interaction" in render(table, "csv").splitlines()[0]


def test_a_diverged_or_missing_row_takes_its_interactions_along(pairs, make_run):
    study = pairs()
    broken = []
    for record in study.rows:
        lost = replace(record.runs[0], status="diverged", results={})
        broken.append(replace(record, runs=(lost, *record.runs[1:])) if record.variant.name == "only c" else record)
    rows = {row.variant: row for row in gather(replace(study, rows=tuple(broken))).rows}
    assert rows["a + b"].interaction is not None
    assert rows["a + c"].interaction is None
    assert rows["b + c"].interaction is None
    less = replace(study, rows=tuple(r for r in study.rows if r.variant.name != "plain"))
    assert all(row.interaction is None for row in gather(less).rows)


def test_losses_in_other_units_have_no_interaction(pairs):
    study = pairs(planted=-0.15)
    scaled = TargetScaling((2.0,), (3.0,))
    rows = [
        replace(record, runs=tuple(replace(run, target_scaling=scaled) for run in record.runs))
        if record.variant.name in ("only b", "a + b")
        else record
        for record in study.rows
    ]
    found = {row.variant: row for row in gather(replace(study, rows=tuple(rows))).rows}
    assert (found["only b"].delta_parent, found["a + b"].delta_parent) == (None, None)
    assert (found["a + b"].interaction, found["a + b"].interaction_p) == (None, None)
    assert found["a + c"].interaction_p is not None


def test_while_seeds_are_coming_there_is_no_p_value(pairs):
    study = pairs(planted=-0.15)
    waiting = []
    for record in study.rows:
        late = replace(record.runs[0], status="running", results={})
        waiting.append(replace(record, runs=(late, *record.runs[1:])) if record.variant.name == "only b" else record)
    rows = {row.variant: row for row in gather(replace(study, rows=tuple(waiting))).rows}
    assert rows["a + b"].interaction_low is not None
    assert rows["a + b"].interaction_p is None
    assert rows["a + c"].interaction_p is not None


def test_one_seed_gives_a_difference_alone_and_two_an_interval(pairs):
    one = next(row for row in gather(pairs(seeds=1)).rows if row.variant == "a + b")
    two = next(row for row in gather(pairs(seeds=2)).rows if row.variant == "a + b")
    assert one.interaction is not None
    assert one.interaction_low is None
    assert (two.interaction_low is not None, two.interaction_p) == (True, None)
