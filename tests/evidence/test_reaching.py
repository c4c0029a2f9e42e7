"""Epochs and seconds to a value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.engine.contract import Facts
from ablate.evidence.gather import gather
from ablate.recipe.measured import Reach
from ablate.report.columns import default_keys
from ablate.report.formats import render
from ablate.report.formats.json import row_tree
from ablate.store.provenance import Provenance

MARK = Reach("valid_loss", 0.3)


def lines(*losses, pace=2.0):
    return [{"epoch": i, "seconds": pace * i, "valid_loss": loss} for i, loss in enumerate(losses, 1)]


@pytest.fixture
def timed(make_study, make_run):
    def make(curves, marks=(MARK,), stack=(0,), statuses=(), provenance=None):
        runs = [make_run(seed, 0.5, stack=stack) for seed in range(len(curves))]
        for seed, status in statuses:
            runs[seed] = replace(runs[seed], status=status)
        study = make_study({"a": (None, runs)})
        study = replace(study, recipe=replace(study.recipe, reach=tuple(marks)))
        known = {run.fingerprint: curve for run, curve in zip(runs, curves, strict=True)}
        return gather(study, provenances=provenance, curves=known.__getitem__)

    return make


def test_the_median_run_is_told(timed):
    curves = [lines(0.5, 0.3, 0.2), lines(0.9, 0.8, 0.7, 0.1), lines(0.2), lines(0.5, 0.4, 0.3), lines(0.5, 0.1, 0.9)]
    table = timed(curves)
    row = table.rows[0]
    assert row.reached == {"reach_valid_loss_epochs": 2.0, "reach_valid_loss_seconds": 4.0, "reach_valid_loss_runs": 5}
    assert row_tree(row)["reach_valid_loss_epochs"] == 2.0
    assert default_keys(table)[-2:] == ["reach_valid_loss_epochs", "reach_valid_loss_seconds"]
    text = render(table, "md")
    assert "Epochs to validation loss ≤ 0.3" in text
    assert "4.00" in text.splitlines()[2]


def test_who_never_came_there_is_counted_not_left_out(timed):
    table = timed([lines(0.5, 0.2), lines(0.5, None, 0.4), lines(0.1)], statuses=[(1, "diverged")])
    assert table.rows[0].reached["reach_valid_loss_epochs"] is None
    assert table.rows[0].reached["reach_valid_loss_runs"] == 2
    assert render(table, "md", ["reach_valid_loss_epochs"]).splitlines()[2].strip("| ") == "– (2/3)"


def test_runs_that_are_not_trained_yet_do_not_count(timed):
    table = timed([lines(0.5, 0.2), lines(0.5, 0.4), []], statuses=[(2, "queued")])
    assert render(table, "md", ["reach_valid_loss_epochs"]).splitlines()[2].strip("| ") == "– (1/2)"


def test_seconds_are_a_seeds_share_of_its_stack(timed):
    assert timed([lines(0.5, 0.2)], stack=(0, 1, 2, 3)).rows[0].reached["reach_valid_loss_seconds"] == 1.0


def test_seeds_that_could_not_be_a_stack_have_their_own_time(timed):
    origin = Provenance(facts=Facts(stack=[[0], [1]]))
    table = timed([lines(0.5, 0.2)], stack=(0, 1), provenance=lambda names: [origin])
    assert table.rows[0].reached["reach_valid_loss_seconds"] == 4.0


def test_what_is_better_higher_is_reached_from_below(timed):
    curves = [[{"epoch": 1, "seconds": 1.0, "accuracy": 0.5}, {"epoch": 2, "seconds": 2.0, "accuracy": 0.91}]]
    table = timed(curves, [Reach("accuracy", 0.9, "higher")])
    assert table.rows[0].reached["reach_accuracy_epochs"] == 2.0
    assert "Epochs to accuracy ≥ 0.9" in render(table, "md")


def test_curves_are_read_only_where_a_mark_asks_for_them(make_study):
    def never(name):
        raise AssertionError("read")

    assert gather(make_study({"a": (None, [0.5])}), curves=never).rows[0].reached == {}
