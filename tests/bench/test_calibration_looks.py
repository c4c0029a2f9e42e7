"""The bench that measures looks counts what it says, on a few studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import calibration_looks as bench


@pytest.mark.parametrize("design", bench.DESIGNS)
def test_a_large_effect_is_found_at_the_first_look(design):
    cell = bench.Cell(design, "normal", size=20.0, studies=5)
    for one in bench.outcomes(cell):
        assert (one.found, one.seeds) == (True, 5)
        assert one.delta == pytest.approx(-20, abs=5)
        assert one.trained <= 7 * 20
        assert one.null_seeds > 5


def test_null_studies_have_no_effect_to_find():
    found = bench.outcomes(bench.Cell("star", "normal", studies=40))
    assert sum(one.wrong for one in found) <= 6
    assert np.mean([one.covered for one in found]) > 0.95
    assert all(one.seeds in bench.LOOKS.at for one in found)


def test_cells_draw_other_studies_when_they_are_run_again():
    cell = bench.Cell("star", "normal", studies=3)
    again = replace(cell, again=True)
    deltas = [[one.delta for one in bench.outcomes(each)] for each in (cell, cell, again)]
    assert deltas[0] == deltas[1] != deltas[2]


def test_a_top_up_has_a_false_alarm_only_if_a_look_has():
    assert not bench.topped_up(bench.TOP_UPS[0], np.tile(np.arange(20.0), (7, 1)))
    added = np.random.default_rng(0).standard_normal((7, 20))
    assert not bench.topped_up(bench.TOP_UPS[0], added)
    added[1:, 5:10] += 50
    assert bench.topped_up(bench.TOP_UPS[0], added)
