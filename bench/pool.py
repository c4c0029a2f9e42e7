"""1,200 real runs to draw null studies from: a small network on the digits, trained by the engine in process and kept
in a file.

Two halves of 600. ``seeds``: one variant under 600 seeds, so that any two runs differ in initial values, order and
noise. ``copies``: 60 seeds of the same variant, each under 10 streams of dropout noise, so that the runs of a seed
share initial values and order, as the rows of a study do.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.training import train_epoch, validate
from ablate.recipe import Recipe

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".ablate" / "calibration-pool.npz"
METRICS = ("valid_loss", "accuracy")
SEEDS, SEEDS_WITH_COPIES, COPIES = 600, 60, 10

RECIPE = """
study: calibration
data: digits
metrics: [accuracy]
baseline:
  model: {name: mlp, hidden: [32]}
  init: xavier_uniform
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.02, momentum: 0.9, nesterov: true}
  add: [{dropout: 0.2}]
  batch_size: 128
  epochs: 12
"""


def read_pool() -> dict[str, NDArray[np.float64]]:
    """``seeds`` (600, 2) and ``copies`` (60, 10, 2), the metrics last; trained once, then read from the file."""
    if not CACHE.exists():
        CACHE.parent.mkdir(exist_ok=True)
        began = time.perf_counter()
        pool = train_pool()
        # Named without its suffix until it is whole: an interrupted writer leaves nothing that would be read.
        beside = CACHE.with_suffix(".part.npz")
        np.savez(beside, **pool, seconds=np.array(time.perf_counter() - began))
        beside.replace(CACHE)
    with np.load(CACHE) as stored:
        return {name: stored[name] for name in ("seeds", "copies", "seconds")}


def train_pool() -> dict[str, NDArray[np.float64]]:
    """Train all 1,200 runs, one after another."""
    CACHE.parent.mkdir(exist_ok=True)
    source = CACHE.with_suffix(".yaml")
    source.write_text(RECIPE, encoding="utf-8")
    recipe = Recipe.load(source)
    settings = recipe.variants[0].settings
    parts = load_parts(settings.data, recipe.folder)

    def result(seed: int, copy: int) -> list[float]:
        assembly = assemble(Assignment(settings, (seed,), recipe.folder), parts)
        for noise in assembly.streams.values():
            noise.stream = f"copy {copy}/{noise.stream}"
        for epoch in range(1, settings.epochs + 1):
            train_epoch(assembly, epoch)
        values = validate(assembly)
        return [float(values[name]) for name in METRICS]

    torch.set_num_threads(1)
    copies = [[result(10_000 + seed, copy) for copy in range(COPIES)] for seed in range(SEEDS_WITH_COPIES)]
    return {"seeds": np.array([result(seed, 0) for seed in range(SEEDS)]), "copies": np.array(copies)}


if __name__ == "__main__":
    for name, values in read_pool().items():
        print(name, values.shape, values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1).mean(0))
