"""A recipe folder of the user's own, and the command line as users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, outputs, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x):
        return self.layers(x)

class Broken(Net):
    def forward(self, x):
        raise RuntimeError("the second law")
"""

DATA = """
import torch
from torch.utils.data import TensorDataset

def load(n=48):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) > 0.5).long()
    return TensorDataset(x, y), TensorDataset(x[:16], y[:16])
"""

RECIPE = """
study: own
data: {target: data:load}
seeds: 2
baseline:
  name: plain
  model: {target: model:Net}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 16
  epochs: 3
variants:
  - {name: wide, set: {model.width: 16}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A recipe with a network and data from files beside it; its path."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    (folder / "data.py").write_text(DATA)
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder / "recipe.yaml"


class Done:
    """A finished command."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self) -> dict[str, Any]:
        return {row["variant"]: row for row in self.json()["rows"]}


@pytest.fixture
def ablate(tmp_path: Path) -> Callable[..., Done]:
    """Run a command in a folder of its own, without MLflow unless told otherwise."""

    def run(*words: object, **variables: str) -> Done:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        command = [sys.executable, "-m", "ablate", *map(str, words)]
        if words[0] == "run" and "--tracking-uri" not in words:
            command.append("--no-mlflow")
        return Done(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False))

    return run
