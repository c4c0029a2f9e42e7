"""The speedup of a training step by a second CPU thread. Run with ``python -m bench.threads``; the table of
`ablate.execution.schedule` comes from here. Nothing else may run meanwhile: threads wait for the slowest of them.
"""

from __future__ import annotations

import time
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from bench.measure import machine

BURST = 0.05
"""Seconds of a measurement; the shortest of each network and number of threads counts."""


def mlp(*widths: int) -> tuple[nn.Module, tuple[int, ...]]:
    """A network and the shape of its inputs."""
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1]), (widths[0],)


def convnet(side: int, *channels: int) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with batch norm and the shape of its inputs."""
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    end = side // 2 ** (len(channels) - 1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(end * end * channels[-1], 10)), (channels[0], side, side)


NETWORKS = {
    "mlp 64-32-10": (mlp(64, 32, 10), 64),
    "mlp 64-256-10": (mlp(64, 256, 10), 64),
    "mlp 784-128-128-10": (mlp(784, 128, 128, 10), 64),
    "mlp 784-512-512-10": (mlp(784, 512, 512, 10), 64),
    "mlp 9216-500-500-10": (mlp(9216, 500, 500, 10), 128),
    "convnet 1-8-16, 8×8": (convnet(8, 1, 8, 16), 64),
    "convnet 1-8-16, 28×28": (convnet(28, 1, 8, 16), 64),
    "convnet 3-16-32, 32×32": (convnet(32, 3, 16, 32), 64),
    "convnet 3-32-64, 32×32": (convnet(32, 3, 32, 64), 64),
    "convnet 1-32-64-128, 96×96": (convnet(96, 1, 32, 64, 128), 32),
}
"""By name: a network with the shape of its inputs, and the batch size."""


def step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    loss = cross_entropy(network(inputs), targets)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def speedup(network: nn.Module, shape: tuple[int, ...], batch: int, rounds: int) -> tuple[float, float, float]:
    """Millions of multiplications in a forward pass, milliseconds of a step with one thread, speedup by the second."""
    inputs, targets = torch.randn(batch, *shape), torch.randint(10, (batch,))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(rounds):
        for threads in best:
            torch.set_num_threads(threads)
            step(network, optimizer, inputs, targets)
            start, count = time.perf_counter(), 0
            while (seconds := time.perf_counter() - start) < BURST or not count:
                step(network, optimizer, inputs, targets)
                count += 1
            best[threads] = min(best[threads], seconds / max(count, 1))
    return counter.get_total_flops() / 2e6, 1000 * best[1], best[1] / best[2]


def main(rounds: int = 10) -> str:
    lines = [
        "## A second thread for a training step",
        "",
        f"{machine()}. The shortest of {rounds} bursts of each network, batch sizes 32 to 128.",
        "",
        "| network | millions of multiplications | one thread, ms | speedup by the second |",
        "|---|--:|--:|--:|",
    ]
    for name, ((network, shape), batch) in NETWORKS.items():
        millions, ms, gain = speedup(network, shape, batch, rounds)
        lines.append(f"| {name} | {millions:.1f} | {ms:.2f} | {gain:.2f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(main())
