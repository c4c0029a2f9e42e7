"""The campaign of faults on a real study, with a few of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.faults import campaign, table


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_few_faults_leave_a_study_as_if_nothing_had_happened(tmp_path: Path) -> None:
    rounds = campaign(tmp_path, seed=0, until=lambda faults: faults > 0, faults=5)
    assert [one.wrong for one in rounds] == [[]]
    assert len(rounds[0].struck) == 5
    assert table(rounds).endswith("5 faults in 1 studies, 0 of them wrong.")
