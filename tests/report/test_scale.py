"""Comparisons of logarithms, and failed trainings, as text."""

from __future__ import annotations

from ablate.evidence.gather import Row
from ablate.evidence.seeds import Tally
from ablate.recipe.variant import Compare, Failed
from ablate.report.columns import available
from ablate.report.numbers import ratio, within
from ablate.report.summary import summary


def test_differences_of_logarithms_are_ratios(keypoints):
    row = Row("n", "net1", status="finished", valid_loss=1.0, delta_parent=-0.0726, ci_low=-0.1054, ci_high=-0.0305)
    table = keypoints(row, compare=Compare(scale="log", smallest_effect=1.02))
    assert available(table)["delta_parent"].texts(table)[-1] == "×0.930 [0.900, 0.970]"
    assert "ratio of the geometric mean of valid_loss to the parent's" in summary(table)[0]
    assert ratio(None, None, None, 2) == ""
    assert within(0.2) == "1.22"


def test_failures_take_the_place_of_the_verdict(keypoints):
    row = Row("n", "net1", status="finished", seeds=10, failed=2, median=0.0031, tally=Tally(10, 10, ended=10))
    table = keypoints(row, compare=Compare(failed=Failed(">", 1.5)))
    columns = available(table)
    assert columns["verdict"].texts(table)[-1] == "2/10 failed"
    assert columns["valid_loss"].texts(table)[-1].startswith("median 0.0031")
