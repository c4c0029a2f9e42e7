"""The measurement on a GPU, with everything but the GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import gpu
from bench.rivals.work import Work

ROOT = Path(__file__).parents[2]
SMALL = ["--device", "cpu", "--scale", "0.0005", "--side", "24", "--limit", "40", "--patience", "0", "--steps", "1"]


@pytest.mark.slow
def test_the_whole_measurement_runs_on_a_cpu():
    section = gpu.main(
        [*SMALL, "--seeds", "2", "--rows", "net1,net6", "--precisions", "float32", "--studies", "facial_keypoints"]
    )
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| f")
    ]
    assert [row[:4] for row in table] == [["facial-keypoints", "float32", "2", "3"]]
    for row in table:
        ours, plain, faster, floor, above = (float(cell) for cell in row[4:9])
        assert min(ours, plain) > 0
        assert plain / ours == pytest.approx(faster, abs=0.2)
        assert min(floor, above) > 0


def test_floor_and_loop_are_counted_up_to_all_epochs(monkeypatch):
    """Every timed call takes a second here; a plain loop a second for each of its epochs, and one to begin."""
    recipe = gpu.Recipe.load(ROOT / "recipes" / "digits.yaml", only="net1")
    work = Work.of(recipe.variants[0].settings, recipe.folder)
    monkeypatch.setattr(gpu, "timed", lambda run, device: 1.0)
    assert gpu.floor_seconds(work, 20) == pytest.approx(len(work.train) / 64 * 30 / 20)
    monkeypatch.setattr(gpu, "timed", lambda run, device: 1.0 + work.settings.epochs)
    assert gpu.plain_seconds(work, patience=20) == pytest.approx(30)
    assert work.settings.epochs == 30


def test_it_needs_no_mlflow():
    code = "import sys, bench.gpu; print('mlflow' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_replayed_as_a_graph_trains():
    recipe = gpu.Recipe.load(ROOT / "recipes" / "digits.yaml", only="net2")
    work = Work.of(recipe.variants[0].settings, recipe.folder, "cuda")
    assert gpu.floor_seconds(work, 20) > 0
