"""The ways that we measure against train the same thing: otherwise a ratio of times says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.training import train_epoch, validate
from ablate.recipe import Recipe
from bench import ladder
from bench.rivals import plain
from bench.rivals.work import Flipped, Shifted, Work, tensors

RECIPES = Path(__file__).parents[2] / "recipes"


def loaded(name: str, row: str, **options):
    recipe = Recipe.load(RECIPES / f"{name}.yaml", only=row, **options)
    return recipe.variant(row).settings, recipe.folder


@pytest.mark.parametrize("row", ["net1", "net2", "net6"])
def test_a_plain_loop_trains_the_same_row(row):
    """Not to the bit: orders differ. A forgotten schedule, augmentation or layer would show."""
    settings, folder = loaded("digits", row, scale=0.07 if row == "net1" else 0.034)
    assembly = assemble(Assignment(settings, (0,), folder), load_parts(settings.data, folder))
    work = Work.of(settings, folder)
    ours = dict(assembly.network.named_parameters())
    theirs = dict(work.network(0).named_parameters())
    assert {name: value.tolist() for name, value in ours.items()} == {name: v.tolist() for name, v in theirs.items()}
    for epoch in range(1, settings.epochs + 1):
        train_epoch(assembly, epoch)
    assert plain.train(work, 0) == pytest.approx(float(validate(assembly)["valid_loss"]), rel=0.35)


@pytest.mark.parametrize("way", ["skorch", "lightning"])
def test_skorch_and_lightning_train_the_same_row(way):
    pytest.importorskip(way)
    from importlib import import_module

    settings, folder = loaded("digits", "net1", scale=0.1)
    work = Work.of(settings, folder)
    train = import_module(f"bench.rivals.with_{way}").train
    assert train(work, 0) == pytest.approx(plain.train(work, 0), rel=0.05)


def test_schedules_reach_the_rivals():
    settings, folder = loaded("digits", "net4")
    work = Work.of(settings, folder)
    assert work.scheduled
    assert work.rates(1) == {"lr": 0.05, "momentum": 0.9}
    assert work.rates(settings.epochs) == pytest.approx({"lr": 0.0005, "momentum": 0.98})


def test_pictures_and_points_move_as_ours_do():
    settings, folder = loaded("facial_keypoints", "net3", sets=["data.size=16", "data.limit=60"])
    parts = load_parts(settings.data, folder)
    x, y = tensors(parts.train)[0]
    flipped = Flipped(tensors(parts.train), parts.spec.keypoints)
    torch.manual_seed(0)
    seen = [flipped[0] for _ in range(12)]
    kept = [torch.equal(a, x) for a, _ in seen]
    assert 0 < sum(kept) < 12
    for (a, b), same in zip(seen, kept, strict=True):
        assert torch.equal(a, x if same else x.flip(-1))
        assert torch.equal(b, y) == same
    moved, _ = Shifted(tensors(parts.train), 1)[0]
    assert moved.shape == x.shape


def test_seconds_and_distances_are_counted_right():
    groups = {"mlp": ["a"], "conv": ["b", "c"]}
    said = {"seconds": {"a": 1.0, "b": 2.0, "c": 4.0}}
    assert ladder.seconds_of("plain", said, groups) == {"mlp": 1, "conv": 6, "all": 7}
    ours = {"seconds": {"a": 1.0, "b c": 2.0, "a b c": 2.5}}
    assert ladder.seconds_of("ours", ours, groups) == {"mlp": 1, "conv": 2, "all": 2.5}
    assert ladder.distance([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]) == pytest.approx(1 / (2 / 3) ** 0.5)
    assert ladder.memory(1 << 30) == 0
