"""What `ablate lr` suggests beside a fine grid of learning rates. Run with ``python -m bench.learning_rates FACES.npz``.

The choice of its constants used all but the last study.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.measure import machine

DIGITS = "data: digits\nseeds: 3\nbaseline:\n  name: base\n  init: he_normal\n  loss: cross_entropy\n  batch_size: 64\n"
FACES = (
    "data: {name: facial_keypoints, path: %s, size: 24, group: person}\nseeds: 3\nbaseline:\n  name: base\n"
    "  loss: mse\n  batch_size: 16\n  add: [standardise]\n"
)
MLP, FACES_MLP = "{name: mlp, hidden: [32]}", "{name: mlp, hidden: [100]}"
SMALL = "{name: convnet, channels: [8, 16], kernels: [3, 3], pools: [1, 2], hidden: [32]}"
LARGE = "{name: convnet, channels: [16, 32], kernels: [3, 3], pools: [1, 2], hidden: [64]}"
CONV = "{name: convnet, channels: [8, 16], kernels: [3, 3], hidden: [100]}"
SGD = "{name: sgd, lr: 0.02, momentum: 0.9, nesterov: true, weight_decay: 0.002}"

STUDIES = {
    "digits, mlp, SGD": (DIGITS, MLP, SGD, 30, (-3.0, 0.0)),
    "digits, convnet, Adam": (DIGITS, SMALL, "{name: adam, lr: 0.02}", 12, (-4.0, -1.0)),
    "digits, convnet, SGD": (DIGITS, LARGE, SGD, 30, (-3.0, -0.5)),
    "faces, mlp, Adam": (FACES, FACES_MLP, "{name: adam, lr: 0.00101}", 12, (-4.5, -2.0)),
    "faces, mlp, SGD": (FACES, FACES_MLP, "{name: sgd, lr: 0.0101, momentum: 0.9}", 12, (-3.0, -0.5)),
    "faces, convnet, Adam": (FACES, CONV, "{name: adam, lr: 0.00101}", 8, (-4.0, -1.5)),
}
"""Data, network, optimizer, epochs, and the powers of ten of the grid."""

SPACING = 0.2
"""The grid's, in powers of ten."""


def ablate(folder: Path, *words: str) -> str:
    """The output of a command."""
    command = [sys.executable, "-m", "ablate", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def measured(folder: Path, name: str, faces: Path) -> str:
    """A line of the table: the suggestion, the best rate of the grid, and the validation losses of both."""
    data, model, optimizer, epochs, (low, high) = STUDIES[name]
    file = f"{name.replace(', ', '-').replace(' ', '-')}.yaml"
    head = (data % faces.absolute() if "%s" in data else data) + f"  model: {model}\n  optimizer: {optimizer}\n"
    (folder / file).write_text(f"study: {Path(file).stem}\n{head}  epochs: {epochs}\n")
    suggested = json.loads(ablate(folder, "lr", file, "--json"))["suggested"]
    rates = sorted({float(f"{rate:.3g}") for rate in 10 ** np.arange(low, high, SPACING)} | {suggested})
    rows = "".join(f"  - {{name: r{rate:g}, from: base, set: {{optimizer.lr: {rate:g}}}}}\n" for rate in rates)
    (folder / file).write_text(f"study: {Path(file).stem}\n{head}  epochs: {epochs}\nvariants:\n{rows}")
    ablate(folder, "run", file, "--no-mlflow", "--only", ",".join(f"r{rate:g}" for rate in rates), "--format", "csv")
    found = csv.DictReader(io.StringIO(ablate(folder, "table", file, "--format", "csv")))
    losses = {row["variant"]: float(row["valid_loss"]) for row in found if row["valid_loss"]}
    best = min((name for name in losses if name != "base"), key=losses.__getitem__)
    mine = losses.get(f"r{suggested:g}", float("inf"))
    more = 100 * (mine / losses[best] - 1)
    return f"| {name} | {suggested:g} | {mine:.4f} | {best[1:]} | {losses[best]:.4f} | {more:+.0f} % |"


def main() -> str:
    lines = ["| study | suggested | its loss | best of the grid | its loss | more |", "|:--|--:|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as name:
        for study in STUDIES:
            lines.append(measured(Path(name), study, Path(sys.argv[1])))
            print(lines[-1], file=sys.stderr, flush=True)
    head = f"{machine()}. Validation losses, means of 3 seeds after the whole training."
    return "\n".join(["## Suggested learning rates", "", head, "", *lines]) + "\n"


if __name__ == "__main__":
    print(main())
