"""How cost grows with seeds: R seeds as a stack, and one after another, in units of one seed of a bare loop by hand.
One thread.

Run with ``python -m bench.seeds``. The table of `ablate.engine.stack_width` comes from here.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from ablate.data.load import load_parts
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.compute_cost import known_size
from ablate.engine.contract import Assignment
from ablate.recipe import Recipe
from bench.loop import Loss, bare, ours, repeated, tensors
from bench.measure import alternating, machine, ratio

ROOT = Path(__file__).parents[1]
SEEDS = (1, 2, 5, 10, 20)


def rows(name: str, recipe: Recipe, variant: str, repeats: int, rounds: int, seeds: tuple[int, ...]) -> list[str]:
    settings = recipe.variant(variant).settings
    parts = load_parts(settings.data, recipe.folder)
    loss_of: Loss = cross_entropy if settings.loss.name == "cross_entropy" else mse_loss

    def assembled(count: int) -> Assembly:
        return assemble(Assignment(settings, tuple(range(count)), recipe.folder), parts)

    one = assembled(1)
    by_hand = bare(copy.deepcopy(one.network), settings, tensors(settings, recipe.folder), loss_of)
    ways = [by_hand, *(epoch(one if count == 1 else assembled(count)) for count in seeds)]
    times = alternating([lambda way=way: repeated(way, repeats) for way in ways], rounds)  # type: ignore[misc]
    ratios = [ratio(each, times[0]) for each in times[1:]]
    millions, _ = known_size(settings, parts.spec, recipe.folder)
    size = f"{millions:.1f}" if millions is not None else "?"
    single = ratios[0]
    lines = []
    for count, cost, each in zip(seeds, ratios, times[1:], strict=True):
        ms = 1000 * statistics.median(each) / repeats
        lines.append(
            f"| {name} | {size} | {count} | {ms:.1f} | {cost:.2f} | {cost / count:.2f} | {single * count / cost:.2f} |"
        )
    return lines


def epoch(assembly: Assembly) -> Callable[[], object]:
    """An epoch of a stack, training and validation, read to the end."""
    if not assembly.replicas.lead:
        return ours(assembly)
    from ablate.engine.training import train_epoch, validate

    number = 0

    def run() -> object:
        nonlocal number
        number = number % assembly.settings.epochs + 1
        loss = train_epoch(assembly, number)
        return loss.tolist(), {name: value.tolist() for name, value in validate(assembly).items()}

    return run


class Own(nn.Module):
    """The digits' mlp as users write theirs: not a Sequential, so a stack of it runs under vmap."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(64, 100), nn.Linear(100, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.hidden(x.flatten(1)).relu())  # type: ignore[no-any-return]


def main() -> str:
    torch.set_num_threads(1)
    lines = [
        "## Many seeds as one stack",
        "",
        f"{machine()}. One thread, an epoch of training and validation, medians of alternating rounds. *Work*: millions of multiplications of one",
        "seed's forward pass over a batch. *Cost*: of all seeds, in units of a bare resident loop with one seed. *Gain*: seeds one after another / stacked.",
        "",
        "| network | work | seeds | ms | cost | cost per seed | gain |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    digits = Recipe.load(ROOT / "recipes" / "digits.yaml")
    faces = Recipe.load(ROOT / "recipes" / "facial_keypoints.yaml", sets=["data.size=32", "data.limit=400"])
    narrow = Recipe.load(ROOT / "recipes" / "digits.yaml", sets=["net2.model.batch_norm=true"])
    lines += rows("digits mlp", digits, "net1", 5, 9, SEEDS)
    lines += rows("digits convnet", digits, "net2", 1, 9, SEEDS)
    lines += rows("digits convnet, batch norm", narrow, "net2", 1, 9, SEEDS)
    users = Recipe.load(ROOT / "recipes" / "digits.yaml", sets=['net1.model={target: "bench.seeds:Own"}'])
    lines += rows("the same mlp as a user's own module", users, "net1", 5, 9, SEEDS)
    lines += rows("faces 32x32 mlp", faces, "net1", 2, 7, SEEDS)
    lines += rows("faces 32x32 convnet", faces, "net2", 1, 3, SEEDS[:-1])
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())
