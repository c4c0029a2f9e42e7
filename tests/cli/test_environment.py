"""Environments that lack something: the command works, or says in one line what is missing."""

from __future__ import annotations

import pwd
import subprocess
import sys

import numpy as np
import pytest

from ablate.cli.app import run_command
from ablate.cli.usage import limit
from ablate.data.cache import cached

RECIPE = """
study: small
data: digits
seeds: 2
baseline:
  name: one
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 16
  epochs: 1
"""


def shell(line: str, folder) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which $ABLATE is the command."""
    line = line.replace("$ABLATE", f"{sys.executable} -P -m ablate")
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mkdir gone && cd gone && rmdir ../gone && $ABLATE table ../r.yaml", "The working folder does not exist any"),
        ("PYTHONOPTIMIZE=2 $ABLATE plan --help", "PYTHONOPTIMIZE must be less than 2"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(tmp_path, line, message):
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = shell(line, tmp_path)
    [error] = done.stderr.splitlines()
    assert error.startswith(message)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "umask 077; $ABLATE run r.yaml --no-mlflow <&-",
        "trap '' CHLD; LANG=C LC_ALL=C PYTHONOPTIMIZE=1 PYTHONDONTWRITEBYTECODE=1 $ABLATE run r.yaml --no-mlflow",
        "TMPDIR=/proc/none HOME=/proc/none MPLCONFIGDIR=/proc/none $ABLATE run r.yaml --no-mlflow",
        "ulimit -n 64; $ABLATE run r.yaml --no-mlflow",
    ],
)
def test_poor_environments_are_enough_to_train(tmp_path, line):
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = shell(line, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bug" not in done.stderr


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "ulimit -u"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (MemoryError(), "ulimit -v"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "ulimit -v"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), "ulimit -v"),
    ],
)
def test_a_limit_of_the_system_is_named(error, named):
    assert named in str(limit(error))
    assert limit(ValueError("lr must be greater than 0.")) is None


def test_without_a_home_nothing_is_cached(tmp_path, monkeypatch):
    def nobody(user):
        raise KeyError(user)

    for name in ("HOME", "ABLATE_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert list(cached("numbers", "key", lambda: {"a": np.arange(3)})["a"]) == [0, 1, 2]
    assert not list(tmp_path.iterdir())


def test_a_home_that_is_not_known_stays_as_it_is_written(tmp_path, monkeypatch, capsys):
    """A path with ~ is a missing file then, not an error without a position."""
    monkeypatch.chdir(tmp_path)
    recipe = RECIPE + "variants:\n- {name: two, add: [{from_weights: {source: ~nobody-here/x.pt}}]}\n"
    (tmp_path / "r.yaml").write_text(recipe)
    assert run_command(["plan", "r.yaml"]) == 2
    assert "~nobody-here/x.pt" in (said := capsys.readouterr().err)
    assert "r.yaml:13" in said
    (tmp_path / "r.yaml").write_text(RECIPE.replace("digits", "{npz: {path: x.npz}}"))
    assert run_command(["plan", "r.yaml", "--set", "data.path=~nobody-here/x.npz"]) == 2
    assert "~nobody-here/x.npz" in capsys.readouterr().err


@pytest.mark.slow
def test_a_limit_on_cpu_time_is_named(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE.replace("epochs: 1", "epochs: 100000"))
    done = shell("ulimit -S -t 3; $ABLATE run r.yaml --no-mlflow", tmp_path)
    assert done.returncode != 0
    assert "the limit on CPU time (ulimit -t)" in done.stdout + done.stderr
