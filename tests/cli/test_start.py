"""What commands import: none of those that should feel instant may load torch, mlflow or scipy.stats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mlflow", "scipy.stats", "sklearn", "pandas", "matplotlib")

DRIVER = """
import sys
from ablate.cli.app import run_command
try:
    code = run_command(sys.argv[1:])
except SystemExit as leave:
    code = leave.code
print([name for name in {heavy!r} if name in sys.modules], code, file=sys.stderr)
"""

COMMANDS = {
    "--help": [],
    "--version": [],
    "run": ["--help"],
    "plot": ["--help"],
    "plan": ["recipes/facial_keypoints.yaml", "--quick"],
    "table": ["recipes/digits.yaml"],
    "diff": ["recipes/digits.yaml", "net1", "net7"],
    "catalog": [],
    "schema": ["-o", "-"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_imports_nothing_heavy(command, tmp_path):
    words = [str(ROOT / word) if word.startswith("recipes/") else word for word in COMMANDS[command]]
    driver = DRIVER.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", driver, command, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[] 0"
    assert done.stdout.strip()
