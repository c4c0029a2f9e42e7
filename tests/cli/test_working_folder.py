"""Modules of the working folder, which may be a stranger's, are never imported, by any process of any command; the code
of a recipe's targets is imported in jobs and helper processes only.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ablate.cli.app import COMMANDS

SCRIPT = "import sys\nfrom ablate.cli import main\nsys.exit(main())\n"
"""What an installed `ablate` is."""

TRAP = """
import sys
with open({log!r}, "a") as file:
    print(__name__, *sys.orig_argv, file=file)
"""

RECIPE = """
study: mine
data: {target: "mine:load"}
metrics: [accuracy]
seeds: 2
baseline:
  name: one
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 16
  epochs: 2
variants:
  - {name: two, from: one, set: {optimizer.lr: 0.2}}
"""

MINE = """
import torch
from torch.utils.data import TensorDataset

def load():
    x = torch.rand(48, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, torch.arange(48) % 2), TensorDataset(x[:16], torch.arange(16) % 2)
"""

RUNS_NO_USER_CODE = [
    "--help",
    "--version",
    "catalog dropout",
    "schema -o schema.json",
    "new started",
    "plan study/mine.yaml --quick",
    "diff study/mine.yaml one two",
    "table study/mine.yaml",
    "export study/mine.yaml -o table.html",
    "plot study/mine.yaml -o curves.svg",
    "plot study/mine.yaml --kind effects -o effects.png",
    "report study/mine.yaml -o report.html",
    "explain study/mine.yaml",
    "status study/mine.yaml --watch",
    "logs study/mine.yaml one",
    "sync study/mine.yaml",
    "clean study/mine.yaml",
]
RUNS_USER_CODE = [
    "plan study/mine.yaml",
    "check study/mine.yaml",
    "lr study/mine.yaml --seeds 1",
    "run study/mine.yaml",
    "ensemble study/mine.yaml",
]


def test_every_command_is_tried():
    tried = {line.split()[0] for line in (*RUNS_NO_USER_CODE, *RUNS_USER_CODE)}
    assert {*COMMANDS} - tried == {
        "ui",
        "cancel",
        "examples",
        "predict",
    }  # tried below; like `status`, `table`, `ensemble`


STARTED_FOR_IT = ("ablate.execution.executors.forkserver", "ablate.planning.helper_process")
"""The modules of the processes that import the code of targets."""


def plant(folder: Path, names: set[str], log: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(TRAP.format(log=str(log)))


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """The words that start an installed `ablate`."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "ablate"
    path.write_text(SCRIPT)
    return [sys.executable, str(path)]


def test_the_working_folder_is_not_searched_for_modules(tmp_path, script):
    log = tmp_path / "fired"
    here = tmp_path / "here"
    plant(here, {"typer", "rich", "pydantic", "numpy", "shlex", "yaml", "ruamel"}, log)
    for words in (script, [sys.executable, "-m", "ablate"]):  # python -m puts the working folder first
        done = subprocess.run([*words, "catalog", "dropout"], cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()


@pytest.mark.slow
def test_no_process_of_any_command_imports_a_module_of_the_working_folder(tmp_path, script):
    log, imported = tmp_path / "fired", tmp_path / "imported"
    here = tmp_path / "here"
    names = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "sitecustomize", "usercustomize"}
    names = {name for name in names if name.isidentifier()} - {"__main__", "ablate"}
    plant(here, names, log)
    # next to the recipe, whose folder is searched last in jobs: all but what is not installed
    plant(here / "study", {name for name in names if importlib.util.find_spec(name)}, log)
    (here / "study" / "mine.py").write_text(TRAP.format(log=str(imported)) + MINE)
    (here / "study" / "mine.yaml").write_text(RECIPE)

    def run(line: str) -> None:
        done = subprocess.run([*script, *line.split()], cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert not log.exists(), (line, log.read_text())

    for line in RUNS_USER_CODE:
        run(line)
        lines = imported.read_text().splitlines()
        assert lines
        assert all(any(f"-P -m {module}" in one for module in STARTED_FOR_IT) for one in lines), (line, lines)
        imported.unlink()
    for line in RUNS_NO_USER_CODE:
        run(line)
        assert not imported.exists(), (line, imported.read_text())
    with subprocess.Popen([*script, "ui", "study/mine.yaml"], cwd=here, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stderr.readline().split()[0]
            page = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url.partition("#")[0])
            assert page.status == 200
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
            _, rest = process.communicate(timeout=60)
    assert not log.exists(), (rest, log.read_text())
    assert not imported.exists()
