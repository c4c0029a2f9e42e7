"""One epoch, training and validation: ours against a bare resident loop, and against a plain `DataLoader` loop, as a
user would write them.

One thread; the same network, initial values, batch order rule, optimizer and data. Run with ``python -m bench.loop``.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

from ablate.data.load import load_parts
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.contract import Assignment
from ablate.engine.training import train_epoch, validate
from ablate.recipe import Recipe, Settings
from bench.measure import alternating, machine, ratio

ROOT = Path(__file__).parents[1]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def ours(assembly: Assembly) -> Callable[[], object]:
    epoch = 0

    def run() -> object:
        nonlocal epoch
        epoch = epoch % assembly.settings.epochs + 1
        loss = train_epoch(assembly, epoch)
        return loss.item(), {name: value.item() for name, value in validate(assembly).items()}

    return run


def optimizer_of(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """torch's SGD with the row's own numbers, none of which moves in the rows that are timed here."""
    named: Any = settings.optimizer.options
    return torch.optim.SGD(
        network.parameters(), named.lr, named.momentum, nesterov=named.nesterov, weight_decay=named.weight_decay
    )


def bare(network: nn.Module, settings: Settings, data: dict[str, torch.Tensor], loss_of: Loss) -> Callable[[], object]:
    """Data in memory, batches by index: the shortest loop that says the same."""
    optimizer = optimizer_of(network, settings)
    x, y, n = data["x"], data["y"], len(data["x"])

    def run() -> object:
        network.train()
        total = torch.zeros(())
        for index in torch.randperm(n).split(settings.batch_size):
            loss = loss_of(network(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(index)
        network.eval()
        with torch.no_grad():
            prediction = network(data["vx"])
            valid = loss_of(prediction, data["vy"]).item()
            if y.dtype == torch.int64:
                return (total / n).item(), valid, (prediction.argmax(1) == data["vy"]).float().mean().item()
        return (total / n).item(), valid

    return run


def loader(
    network: nn.Module, settings: Settings, data: dict[str, torch.Tensor], loss_of: Loss
) -> Callable[[], object]:
    """The loop of a thousand tutorials."""
    optimizer = optimizer_of(network, settings)
    train = DataLoader(TensorDataset(data["x"], data["y"]), batch_size=settings.batch_size, shuffle=True)
    valid = DataLoader(TensorDataset(data["vx"], data["vy"]), batch_size=settings.batch_size)

    def run() -> object:
        network.train()
        total, right, wrong = 0.0, 0.0, 0.0
        for x, y in train:
            loss = loss_of(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        network.eval()
        with torch.no_grad():
            for x, y in valid:
                prediction = network(x)
                wrong += loss_of(prediction, y).item() * len(x)
                if y.dtype == torch.int64:
                    right += (prediction.argmax(1) == y).float().sum().item()
        return total, wrong, right

    return run


def tensors(settings: Settings, folder: Path) -> dict[str, torch.Tensor]:
    parts = load_parts(settings.data, folder)
    found: dict[str, torch.Tensor] = {}
    for prefix, part in (("", parts.train), ("v", parts.valid)):
        assert part.inputs is not None
        assert part.targets is not None
        inputs = part.inputs.float() / 255 if part.inputs.dtype == torch.uint8 else part.inputs
        found |= {f"{prefix}x": inputs, f"{prefix}y": part.targets}
    return found


def repeated(way: Callable[[], object], times: int) -> None:
    for _ in range(times):
        way()


def main() -> str:
    torch.set_num_threads(1)
    lines = [
        "## One epoch against a loop by hand",
        "",
        f"{machine()}. One thread, 20 rounds of all three in turn, medians; above 1.00 means that ours is faster.",
        "",
        "| work | ours, ms | bare resident loop, ms | bare / ours | DataLoader loop, ms | DataLoader / ours |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    digits = Recipe.load(ROOT / "recipes" / "digits.yaml")
    faces = Recipe.load(ROOT / "recipes" / "facial_keypoints.yaml", sets=["data.size=32", "data.limit=800"])
    work = [(digits, "net1", 10), (digits, "net2", 3), (faces, "net1", 5), (faces, "net2", 1)]
    for recipe, name, repeats in work:
        settings = recipe.variant(name).settings
        assembly = assemble(Assignment(settings, (0,), recipe.folder), load_parts(settings.data, recipe.folder))
        data = tensors(settings, recipe.folder)
        loss_of: Loss = cross_entropy if settings.loss.name == "cross_entropy" else mse_loss
        ways = [ours(assembly)] + [
            make(copy.deepcopy(assembly.network), settings, data, loss_of) for make in (bare, loader)
        ]
        # Short epochs are timed several at a time, so that the clock's grain does not matter.
        mine, by_hand, with_loader = times = alternating([partial(repeated, way, repeats) for way in ways], 20)
        ms = [1000 * statistics.median(each) / repeats for each in times]
        lines.append(
            f"| {recipe.study} {name} | {ms[0]:.1f} | {ms[1]:.1f} | {ratio(by_hand, mine):.2f} | {ms[2]:.1f} | {ratio(with_loader, mine):.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())
