"""A study of a user's own convnet with batch norm: the whole command against a plain `DataLoader` loop in a script.

Three seeds of six epochs on 2,500 images of 32×32 pixels, with start-up; the loop has two threads and trains the seeds
one after another. Run with ``python -m bench.own``, or ``python -m bench.own 5 12`` for other seeds and epochs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.measure import alternating, machine, ratio

CODE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 64, 10),
        )


def load():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(10, (3000,), generator=generator)
    patterns = torch.randn(10, 3, 32, 32, generator=generator)
    inputs = patterns[targets] + 2 * torch.randn(3000, 3, 32, 32, generator=generator)
    return TensorDataset(inputs[:2500], targets[:2500]), TensorDataset(inputs[2500:], targets[2500:])
"""

LOOP = """
import sys
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from own_convnet import Net, load

torch.set_num_threads(2)
train, valid = load()
for seed in range(int(sys.argv[1])):
    torch.manual_seed(seed)
    network = Net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    train_loader, valid_loader = DataLoader(train, batch_size=64, shuffle=True), DataLoader(valid, batch_size=64)
    for epoch in range(int(sys.argv[2])):
        network.train()
        total = 0.0
        for x, y in train_loader:
            loss = cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        network.eval()
        wrong, right = 0.0, 0
        with torch.no_grad():
            for x, y in valid_loader:
                prediction = network(x)
                wrong += cross_entropy(prediction, y).item() * len(x)
                right += (prediction.argmax(1) == y).sum().item()
        print(seed, epoch, total / len(train), wrong / len(valid), right / len(valid))
"""

RECIPE = """
data: {{target: "own_convnet:load"}}
metrics: [accuracy]
seeds: {seeds}
baseline:
  name: base
  model: {{target: "own_convnet:Net"}}
  loss: cross_entropy
  optimizer: {{name: sgd, lr: 0.05, momentum: 0.9}}
  batch_size: 64
  epochs: {epochs}
"""


def command(folder: Path, seeds: int, epochs: int) -> None:
    """``ablate run`` with an empty store."""
    (folder / "own.yaml").write_text(RECIPE.format(seeds=seeds, epochs=epochs))
    with tempfile.TemporaryDirectory() as runs:
        run(folder, "-m", "ablate", "run", "own.yaml", "--runs", runs, "--no-mlflow")


def loop(folder: Path, seeds: int, epochs: int) -> None:
    """The script."""
    run(folder, "loop.py", str(seeds), str(epochs))


def run(folder: Path, *arguments: str) -> None:
    """Run Python in a folder. Raises RuntimeError with its messages if it fails."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def main(seeds: int = 3, epochs: int = 6, rounds: int = 3) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "own_convnet.py").write_text(CODE)
        (folder / "loop.py").write_text(LOOP)
        mine, plain = alternating([partial(way, folder, seeds, epochs) for way in (command, loop)], rounds)
    return "\n".join(
        [
            "## A user's own convnet against a loop by hand",
            "",
            f"{machine()}. Whole commands with start-up, {rounds} rounds in turn, medians: 2,500 images of 32×32, batch "
            "norm, two threads for the loop. Below 1.00 means that ours is faster.",
            "",
            "| seeds | epochs | ours, s | DataLoader loop, s | ours / loop |",
            "|--:|--:|--:|--:|--:|",
            f"| {seeds} | {epochs} | {statistics.median(mine):.1f} | {statistics.median(plain):.1f} | "
            f"{ratio(mine, plain):.2f} |",
            "",
        ]
    )


if __name__ == "__main__":
    print(main(*map(int, sys.argv[1:])))
