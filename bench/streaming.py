"""Data that are streamed against data that are resident, where they are small: streaming may cost at most 10 %. One
thread; ``python -m bench.streaming``.

*From memory*: ``loader: streamed`` for tensors. *A dataset*: samples of a user's own that are read one by one, as
random augmentation needs; beside it a plain `DataLoader` loop over the same dataset.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

from ablate.data.dataset import Part, Parts
from ablate.data.load import load_parts
from ablate.data.samples import Samples
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.contract import Assignment
from ablate.recipe import Recipe, Settings
from bench.loop import Loss, optimizer_of, ours, repeated
from bench.measure import alternating, machine, ratio

ROOT = Path(__file__).parents[1]


def as_dataset(part: Part) -> Part:
    """The same samples, one by one."""
    assert part.inputs is not None
    assert part.targets is not None
    return Part(dataset=cast("Any", Samples(TensorDataset(part.inputs, part.targets), "bench")))


def over(part: Part, assembly: Assembly, settings: Settings) -> Callable[[], object]:
    """A plain loop over a dataset, without validation."""
    network = copy.deepcopy(assembly.network)
    loss_of: Loss = cross_entropy if settings.loss.name == "cross_entropy" else mse_loss
    optimizer = optimizer_of(network, settings)
    loader = DataLoader(cast("Any", part.dataset), batch_size=settings.batch_size, shuffle=True)

    def run() -> None:
        network.train()
        for x, y in loader:
            inputs = x.float() / 255 if x.dtype == torch.uint8 else x
            loss = loss_of(network(inputs), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def epoch_of(assembly: Assembly) -> Callable[[], object]:
    """An epoch without validation."""
    from ablate.engine.training import train_epoch

    return lambda: train_epoch(assembly, 1)


def main() -> str:
    torch.set_num_threads(1)
    lines = [
        "## Streamed against resident",
        "",
        f"{machine()}. One thread, no workers, 20 rounds in turn, medians. Time of streamed data / of resident ones (goal: at most 1.10),",
        "and of a plain `DataLoader` loop over a dataset that is read sample by sample / ours over the same.",
        "",
        "| work | resident, ms | streamed from memory / resident | plain loop over a dataset / ours |",
        "|:--|--:|--:|--:|",
    ]
    digits = Recipe.load(ROOT / "recipes" / "digits.yaml")
    faces = Recipe.load(ROOT / "recipes" / "facial_keypoints.yaml", sets=["data.size=32", "data.limit=800"])
    for recipe, name, repeats in [(digits, "net1", 10), (digits, "net2", 3), (faces, "net1", 5), (faces, "net2", 1)]:
        settings, parts = recipe.variant(name).settings, load_parts(recipe.variant(name).settings.data, recipe.folder)

        def assembled(mode: str, data: Parts, settings: Settings = settings, folder: Path = recipe.folder) -> Assembly:
            return assemble(Assignment(settings.replace(loader=mode), (0,), folder), data)

        own = parts.with_train(as_dataset(parts.train))
        resident, streamed, read = assembled("resident", parts), assembled("streamed", parts), assembled("auto", own)
        a, b = (partial(repeated, ours(assembly), repeats) for assembly in (resident, streamed))
        in_place, one_pass = alternating([a, b], 20)
        mine, plain = (partial(repeated, way, repeats) for way in (epoch_of(read), over(own.train, read, settings)))
        own_loop, by_hand = alternating([mine, plain], 20)
        ms = 1000 * statistics.median(in_place) / repeats
        lines.append(
            f"| {recipe.study} {name} | {ms:.1f} | {ratio(one_pass, in_place):.2f} | {ratio(by_hand, own_loop):.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())
