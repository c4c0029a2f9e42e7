"""The campaign of faults on a real study, with a few of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_few_faults_leave_a_study_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """In processes that have nothing in common with the tests': they are found by their variables and words."""
    words = [sys.executable, "-m", "bench.faults", "--minutes", "0", "--faults", "5"]
    root, environment = Path(__file__).parents[2], {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-5] faults in 1 studies, 0 of them wrong\.$", done.stdout, re.M), done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
